import pytest
from pydantic import ValidationError

from runs.plan_bounds import bounds_of
from tests.unit.workflows.sample_catalog import compiled, workflow
from workflows.graph_view import graph_of
from workflows.node_configs import LoopConfig

BODY = {"type": "function", "config": {"function_name": "json_projection", "inputs": {}}}


@pytest.mark.parametrize(("written", "seconds"), [(0, 0), ("0s", 0), ("1ms", 0.001), (2.5, 2.5), ("30d", 30 * 86400)])
def test_a_delay_is_a_duration_or_none(written: object, seconds: float) -> None:
    assert seconds == LoopConfig.model_validate({"max_iterations": 2, "delay": written, "body": BODY}).delay


@pytest.mark.parametrize("written", [-1, 0.0005, "0.1ms", "31d", "soon", True, None, float("nan"), float("inf")])
def test_what_is_no_delay_is_refused(written: object) -> None:
    with pytest.raises(ValidationError, match="delay"):
        LoopConfig.model_validate({"max_iterations": 2, "delay": written, "body": BODY})


def test_the_graph_shows_the_delay_and_the_bounds_count_its_timers() -> None:
    body = "body: {type: function, config: {function_name: now, inputs: {}}}"
    at_once = compiled(workflow(f"- {{id: a, type: loop, config: {{max_iterations: 3, {body}}}}}\n"))
    apart = compiled(workflow(f"- {{id: a, type: loop, config: {{max_iterations: 3, delay: 2m, {body}}}}}\n"))

    assert "at most 3 times, 120 s apart" in graph_of(apart)[0].details
    assert bounds_of(at_once).events + 10 == bounds_of(apart).events
