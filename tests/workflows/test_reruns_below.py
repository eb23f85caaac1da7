"""Re-runs of runs that have runs below them: what is finished in those is taken over, too."""

from agentflow.money import MicroUsd
from runs.models import Run, RunState
from tests.workflows.documents import Node, dag, projection
from tests.workflows.platform import Platform, succeeded
from tests.workflows.test_reruns import rerun, taken_over, tool
from tests.workflows.world import World


def below(node_id: str, *nodes: Node, over: str | None = None) -> Node:
    """A run below of `nodes`, or one for each item."""
    config = {"inputs": {"who": "item" if over is not None else "inputs.who"}, "nodes": list(nodes), "outputs": {}}
    body = {"type": "workflow", "config": config}
    if over is None:
        return {"id": node_id, **body}
    return {"id": node_id, "type": "map", "config": {"over": over, "window": 1, "body": body}}


async def run_below(platform: Platform, above: Run) -> Run:
    """The only run right below another."""
    [found] = await platform.service.list_runs(
        org_id=above.org_id, before=None, limit=9, workflow_name=None, state=None, parent_run_id=above.run_id
    )
    return found


async def test_of_a_run_below_that_failed_only_what_failed_runs_again(
    platform: Platform, org_id: str, world: World
) -> None:
    done, failing = f"{org_id}-done", f"{org_id}-failing"
    world.script[failing] = ["refused", "refused"]
    innermost = below("innermost", tool("act", done), tool("fail", failing, depends=["act"]))
    document = dag("above", below("sub", tool("first", done), innermost))
    first = await platform.run(org_id, document, {"who": "x"})

    second = await rerun(platform, org_id, first.run.run_id, failed_only=True)
    third = succeeded(await rerun(platform, org_id, second.run.run_id, failed_only=True))

    assert (RunState.FAILED, RunState.FAILED) == (first.run.state, second.run.state)
    assert (2, 1) == (len(world.deeds[done]), len(world.deeds[failing]))
    sub = await run_below(platform, third.run)
    view = await platform.service.get_run(org_id=org_id, run_id=sub.run_id)
    assert ({"first"}, True) == (taken_over(view), str(view.run.rerun_of).startswith(second.run.run_id))


async def test_of_items_that_are_runs_only_what_failed_in_them_runs_again(
    platform: Platform, org_id: str, world: World
) -> None:
    names = [f"{org_id}-{letter}" for letter in "ab"]
    world.script[f"{names[1]}-last"] = ["refused"]
    each = below("each", tool("act", "{{ inputs.who }}"), tool("end", "{{ inputs.who }}-last"), over="inputs.names")
    first = await platform.run(org_id, dag("runs", each), {"names": names})

    second = succeeded(await rerun(platform, org_id, first.run.run_id, failed_only=True))

    assert RunState.FAILED == first.run.state
    assert [1, 1, 1, 1] == [len(world.deeds[f"{name}{end}"]) for name in names for end in ("", "-last")]
    assert second.run.rerun_of == first.run.run_id


async def test_a_run_below_that_was_asked_for_runs_again_whole(platform: Platform, org_id: str, world: World) -> None:
    document = dag("above", below("sub", tool("first", org_id)))
    first = succeeded(await platform.run(org_id, document, {"who": "x"}))

    succeeded(await rerun(platform, org_id, first.run.run_id, from_nodes=("sub",)))

    assert 2 == len(world.deeds[org_id])


async def test_a_run_below_that_is_run_again_by_itself_may_spend_what_the_whole_run_might(
    platform: Platform, org_id: str
) -> None:
    document = dag("above", below("sub", projection("only", {})))
    first = succeeded(await platform.run(org_id, document, {"who": "x"}, budget=70_000))
    sub = await run_below(platform, first.run)

    again = succeeded(await rerun(platform, org_id, sub.run_id, from_nodes=("only",)))

    assert (None, MicroUsd(70_000)) == (sub.budget_micro_usd, again.run.budget_micro_usd)


async def test_items_that_are_runs_are_taken_over_as_well(platform: Platform, org_id: str, world: World) -> None:
    names = [f"{org_id}-a", f"{org_id}-b"]
    world.script[names[1]] = ["refused"]
    inner = {
        "inputs": {"who": "item"},
        "nodes": [tool("act", "{{ inputs.who }}")],
        "outputs": {"deeds": "act.output.deeds"},
    }
    body = {"type": "workflow", "config": inner}
    each = {"id": "each", "type": "map", "config": {"over": "inputs.names", "window": 1, "body": body}}
    first = await platform.run(org_id, dag("each", each, outputs={"all": "each.output"}), {"names": names})

    second = succeeded(await rerun(platform, org_id, first.run.run_id))

    assert RunState.FAILED == first.run.state
    assert {"all": [{"deeds": 1}, {"deeds": 1}]} == second.outputs
    assert [1, 1] == [len(world.deeds[name]) for name in names]
    assert 1 == second.nodes[0].runs_below
