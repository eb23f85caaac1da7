from random import Random

import pytest

from bench.chaos.counting_model import letters, tries_in, without_tries
from bench.chaos.workload import SHAPES, jobs


def test_the_same_seed_gives_the_same_jobs() -> None:
    one, other = ([job.shape.name for job in jobs(Random(3), SHAPES, 50)] for _ in range(2))

    assert one == other


@pytest.mark.parametrize("count", [3, len(SHAPES), 100])
def test_there_are_as_many_jobs_as_are_wanted_and_each_shape_when_there_is_room(count: int) -> None:
    wanted = jobs(Random(3), SHAPES, count)

    assert count == len({job.key for job in wanted})
    assert min(count, len(SHAPES)) <= len({job.shape.name for job in wanted})


def test_no_two_numbers_have_the_same_letters() -> None:
    assert 3_000 == len({letters(number) for number in range(3_000)})


def test_an_answer_tells_its_step_and_which_call_of_it_was_answered() -> None:
    outputs = {"all": ["analyze/3:abcdefghijkl try-bc", {"draft": "draft:abcdefghijkl try-b"}]}

    assert ["analyze/3:abcdefghijkl try-bc", "draft:abcdefghijkl try-b"] == tries_in(outputs)
    assert {"all": ["analyze/3:abcdefghijkl", {"draft": "draft:abcdefghijkl"}]} == without_tries(outputs)
