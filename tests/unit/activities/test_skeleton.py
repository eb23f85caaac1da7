from activities.skeleton import skeleton_of
from tests.unit.workflows.sample_catalog import compiled


def test_the_branches_of_a_race_of_finally_are_final_as_it_is() -> None:
    body = "{type: function, config: {function_name: collect, inputs: {}}}"
    race = f"{{id: first, type: race, config: {{branches: {{a: {body}, b: {body}}}}}}}"
    plan = compiled(
        f"name: n\nnodes:\n- {{id: one, type: function, config: {{function_name: collect}}}}\nfinally: [{race}]\n"
    )

    skeleton = skeleton_of(plan.node("first"), {})

    assert [True, True] == [branch.is_final for branch in skeleton.branches]
