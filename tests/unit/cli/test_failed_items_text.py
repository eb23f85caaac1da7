import pytest

from cli.run_text import node_lines, run_facts
from tests.unit.cli.run_documents import node_document, run_document

CUT = {"code": "answer.cut", "message": "it ends in the middle", "node_id": None, "item_index": 7}
EACH = node_document("each", type="map", state="succeeded", items_total=40, items_done=40, items_failed=3, error=CUT)


def test_a_map_that_tolerated_failures_tells_the_first_and_how_the_others_are_listed() -> None:
    run = run_document(EACH, state="succeeded")

    assert "    item 7: answer.cut: it ends in the middle" == node_lines(run)[1]
    assert "3 of 40 of each: agentctl workflow steps run_1 each --failed" in run_facts(run)


@pytest.mark.parametrize("message", ["it ends in the middle", "item 7: it ends in the middle"])
def test_a_run_that_failed_at_a_map_names_the_first_failed_item_once(message: str) -> None:
    error = {**CUT, "node_id": "each", "message": message}

    told = run_facts(run_document({**EACH, "state": "failed"}, state="failed", error=error))

    assert 1 == told.count("item 7: it ends in the middle")
    assert "node each" in told
    assert "agentctl workflow step run_1 each --item 7" in told


def test_items_of_a_map_that_was_taken_over_are_not_looked_for_in_this_run() -> None:
    assert "--failed" not in run_facts(run_document({**EACH, "reused": True}, state="succeeded"))


def test_a_run_that_failed_before_any_node_has_no_step_to_look_at() -> None:
    error = {"code": "run.lost", "message": "it was ended from outside", "node_id": None, "item_index": None}

    assert "workflow step" not in run_facts(run_document(state="failed", error=error))
