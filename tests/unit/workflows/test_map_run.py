from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.payloads import SkeletonNode
from workflows.map_run import MAX_SHARDS, SHARD_STEPS, allowed_failures, shard_steps

NODE = SkeletonNode(
    node_id="each",
    type="map",
    kind="function",
    upstream=[],
    reads=[],
    attempts=1,
    initial_seconds=1,
    factor=1,
    max_seconds=1,
    run_seconds=1,
    idle_seconds=1,
)


@given(st.integers(min_value=1, max_value=10**9))
def test_no_history_has_more_shards_than_it_may(step_count: int) -> None:
    width = shard_steps(step_count)

    assert -(-step_count // width) <= MAX_SHARDS
    # A shard that is too long for one history has shards again, which are shorter.
    assert width == SHARD_STEPS or shard_steps(width) < width


@pytest.mark.parametrize(
    ("count", "percent", "items", "allowed"),
    [
        (0, 0.0, 100, 0),
        (3, 0.0, 100, 3),
        (0, 2.5, 100, 2),
        (3, 1.0, 1_000, 10),
        (3, 1.0, 10, 3),
        (0, 100.0, 7, 7),
        (0, 32.3, 1_000, 323),
    ],
)
def test_the_larger_of_count_and_share_is_tolerated(count: int, percent: float, items: int, allowed: int) -> None:
    node = replace(NODE, tolerated_failures=count, tolerated_percent=percent)

    assert allowed == allowed_failures(node, items)
