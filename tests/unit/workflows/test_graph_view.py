from tests.unit.workflows.sample_catalog import SPLIT, compiled, llm, mapping, node, workflow
from workflows.graph_view import GraphNode, edge_count, graph_of


def test_a_drawing_knows_of_each_node_what_decides_about_it() -> None:
    document = workflow(
        SPLIT,
        mapping("each", "split.output.chunks", body="{value: item}", more=", depends: [split]"),
        node("late", more=", depends: [each, split], when: \"each.status == 'succeeded'\", on_error: continue"),
    )

    split, each, late = graph_of(compiled(document))

    assert GraphNode(node_id="split", type="function", kind="function", target="text_splitter", upstream=()) == split
    assert ("map of function collect", ("over split.output.chunks", "window 4", "batch 500")) == (
        each.does,
        each.details,
    )
    assert ("when each.status == 'succeeded'", "on error continue") == late.details
    assert 3 == edge_count((split, each, late))


def test_a_target_that_only_repeats_the_type_is_not_said_twice() -> None:
    ask = "- {id: ask, type: approval, config: {message: Go on?}}\n"

    approval, model = graph_of(compiled(workflow(ask, llm("talk"))))

    assert ("approval", "llm free@1") == (approval.does, model.does)


def test_what_a_node_is_made_of_and_what_takes_it_back_is_told() -> None:
    loop = (
        "- {id: again, type: loop, config: {max_iterations: 3, until: last.done, "
        "body: {type: function, config: {function_name: collect}}}, "
        "compensate: {type: function, config: {function_name: collect}}}\n"
    )
    tree = mapping("all", "inputs.list", kind="reduce", more=", depends: again.failed || again.succeeded")
    final = "finally: [{id: tell, type: function, config: {function_name: collect}}]\n"

    again, everything, tell = graph_of(compiled(workflow(loop, tree.replace("over:", "fan_in: 5, over:"), head=final)))

    assert ("at most 3 times until last.done", "taken back by function collect") == again.details[-2:]
    assert ("if again.failed || again.succeeded", "fan in 5") == everything.details[-2:]
    assert ("finally",) == tell.details
