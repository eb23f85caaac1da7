from runs.plan import NodeState
from workflows.run_details import details_of


def test_what_failed_comes_first_and_the_items_of_maps_are_counted() -> None:
    states = {"a": NodeState.SUCCEEDED, "each": NodeState.RUNNING, "b": NodeState.FAILED}

    details = details_of("run_1", states, {"each": 1_200}, failure="node 'b' failed: x", is_paused=True)

    assert details == (
        "**3 nodes**: 1 failed, 1 running, 1 succeeded; **paused**\n\n**node 'b' failed: x**\n\n"
        "- `b`: failed\n- `each`: running, 1,200 items done\n- `a`: succeeded\n\nMore: `agentctl workflow status run_1`"
    )


def test_of_many_nodes_those_that_failed_are_named_and_the_rest_is_counted() -> None:
    states = {f"n{at}": NodeState.SUCCEEDED for at in range(255)} | {"last": NodeState.FAILED}

    details = details_of("run_1", states, {}, failure=None, is_paused=False)

    assert "- `last`: failed" in details
    assert "- and 206 more" in details
    assert len(details.encode()) < 20_000


def test_before_a_run_is_opened_there_is_where_to_look() -> None:
    details = details_of("run_1", {}, {}, failure=None, is_paused=False)

    assert details == "The run is being opened.\n\n\nMore: `agentctl workflow status run_1`"
