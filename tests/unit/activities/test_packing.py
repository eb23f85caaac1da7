from activities.packing import pack_opened, pack_progress, unpack_opened, unpack_progress
from activities.payloads import (
    NodeOutcome,
    OpenedRun,
    RunProgress,
    SkeletonNode,
)
from workflows.dag_spec import MAX_NODES


def _skeleton(node_id: str) -> SkeletonNode:
    return SkeletonNode(
        node_id=node_id,
        type="llm",
        kind="llm",
        upstream=["before"],
        reads=["before"],
        attempts=4,
        initial_seconds=1,
        factor=2,
        max_seconds=60,
        run_seconds=300,
        idle_seconds=10,
        when="before.output.kind == 'invoice' && inputs.language in ['de', 'fr']",
        prompt="document_analyzer@3",
    )


OPENED = OpenedRun(
    nodes=[_skeleton(f"node_{number}") for number in range(MAX_NODES)],
    input_facts={"value:language": "de"},
    output_reads=["node_0"],
    reused={"node_1": NodeOutcome(state="succeeded", digest="d" * 64, facts={"size:": 3})},
    redrive={"node_2": "run_1"},
)
PROGRESS = RunProgress(opened=OPENED, outcomes={"node_0": NodeOutcome(state="skipped")})


def test_what_was_packed_comes_back_as_it_was() -> None:
    assert OPENED == unpack_opened(pack_opened(OPENED))
    assert PROGRESS == unpack_progress(pack_progress(PROGRESS))


def test_half_a_surrogate_pair_travels_like_any_text() -> None:
    odd = OpenedRun(input_facts={"value:flag": "\ud800", "value:size": 1.5})

    assert odd == unpack_opened(pack_opened(odd))


def test_what_earlier_code_did_not_pack_is_read_as_it_is() -> None:
    assert OPENED == unpack_opened(OPENED)
    assert PROGRESS == unpack_progress(PROGRESS)


def test_the_largest_document_fits_into_a_history_with_room_to_spare() -> None:
    assert len(pack_opened(OPENED).packed or "") < 16 * 1024
