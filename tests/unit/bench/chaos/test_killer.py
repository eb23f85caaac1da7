from random import Random

from bench.chaos.killer import plan_kills


def test_the_same_seed_gives_the_same_plan() -> None:
    one, other = (plan_kills(Random(7), kills=40, runs=300, workers=2) for _ in range(2))

    assert one == other
    assert one != plan_kills(Random(8), kills=40, runs=300, workers=2)


def test_kills_are_in_the_order_of_the_workload_and_leave_runs_to_hit() -> None:
    plan = plan_kills(Random(7), kills=60, runs=500, workers=2)

    due = [kill.after_steps for kill in plan]
    assert sorted(due) == due
    assert 2 * 500 * 0.85 >= due[-1]


def test_every_part_is_killed_when_there_are_kills_enough() -> None:
    for seed in range(20):
        killed = {kill.part.partition("-")[0] for kill in plan_kills(Random(seed), kills=4, runs=20, workers=2)}

        assert {"worker", "api", "postgres", "temporal"} == killed
