"""Records that workflows keep: written exactly once, with the step that writes them."""

from typing import Any

from tests.workflows.documents import Node, dag
from tests.workflows.platform import Platform, succeeded


async def test_records_are_put_and_read_and_a_conflict_fails_the_step(platform: Platform, org_id: str) -> None:
    def record(node_id: str, tool: str, depends: list[str], **arguments: Any) -> Node:
        config = {"tool_name": tool, "tool_args": {"collection": "orders", "key": "42", **arguments}}
        return {"id": node_id, "type": "tool", "config": config, "depends": depends}

    document = dag(
        "recording",
        record("missing", "records.get", []),
        record("first", "records.put", ["missing"], value={"n": 1, "text": "é"}, if_absent=True),
        record("second", "records.put", ["first"], value={"n": 2, "text": "é"}, expected_version=1),
        record("read", "records.get", ["second"]),
        record(
            "late",
            "records.put",
            ["read"],
            value=3,
            expected_version=1,
        )
        | {"on_error": "continue"},
        outputs={"missing": "missing.output", "read": "read.output", "late": "late.status"},
    )

    view = succeeded(await platform.run(org_id, document))

    assert view.outputs is not None
    assert {"found": False, "value": None, "version": 0} == view.outputs["missing"]
    assert (True, 2, 2) == (
        view.outputs["read"]["found"],
        view.outputs["read"]["version"],
        view.outputs["read"]["value"]["n"],
    )
    assert "failed" == view.outputs["late"]
    assert ["records.conflict"] == [node.error_code for node in view.nodes if node.node_id == "late"]
