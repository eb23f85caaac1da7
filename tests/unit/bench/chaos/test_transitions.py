import pytest

from bench.chaos.transitions import MOMENTS, TRANSITIONS, Arm, Moment, read_arm
from bench.chaos.workload import SHAPES


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_arm_is_read_back_as_it_was_written(moment: Moment) -> None:
    arms = [Arm(transition=transition, moment=moment, nth=2) for transition in TRANSITIONS]

    assert arms == [read_arm(arm.line()) for arm in arms]


def test_every_transition_names_a_shape_of_the_workload() -> None:
    assert {shape.name for shape in SHAPES} >= {transition.shape for transition in TRANSITIONS}
