from types import SimpleNamespace
from typing import Any

import pytest

from activities.gate_payloads import DoubtCall, GateCall
from activities.payloads import ChildCall, RunRef, StepCall
from activities.recorded_run import run_named_by

RUN = RunRef(org_id="org_1", run_id="run_1", plan_digest="0" * 64, inputs_digest="1" * 64)
STEP = StepCall(run=RUN, node_id="n", outputs={})


@pytest.mark.parametrize(
    "call", [RUN, STEP, GateCall(run=RUN, node_id="n", outputs={}), ChildCall(step=STEP), DoubtCall(step=STEP)]
)
def test_the_run_is_found_wherever_an_activity_names_it(call: Any) -> None:
    assert RUN == run_named_by(call)


@pytest.mark.parametrize("call", [None, "run_1", SimpleNamespace(run="run_1"), SimpleNamespace(step=None)])
def test_what_is_about_no_run_names_none(call: Any) -> None:
    assert run_named_by(call) is None
