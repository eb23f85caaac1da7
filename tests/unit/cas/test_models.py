"""When budgets start afresh, and what is left of them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.digest import canonical_json
from agentflow.money import MicroUsd
from cas.models import Budget, BudgetStatus, Period, Route, Routing

INSTANTS = st.datetimes(
    min_value=datetime(1971, 1, 1),  # noqa: DTZ001  # hypothesis adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001  # hypothesis adds the zone
    timezones=st.just(UTC),
)
ZONES = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
PERIODS = st.sampled_from(Period)
LENGTHS = {Period.DAILY: timedelta(days=1), Period.WEEKLY: timedelta(days=7), Period.MONTHLY: timedelta(days=31)}


@given(INSTANTS, st.sampled_from(list(LENGTHS)))
def test_a_window_begins_at_a_midnight_not_after_now_and_is_not_over(now: datetime, period: Period) -> None:
    start = period.window_start(now)

    assert UTC == start.tzinfo
    assert (0, 0, 0, 0) == (start.hour, start.minute, start.second, start.microsecond)
    assert timedelta() <= now - start < LENGTHS[period]


@given(INSTANTS, ZONES, PERIODS)
def test_the_zone_in_which_an_instant_is_told_does_not_matter(now: datetime, zone: timezone, period: Period) -> None:
    assert period.window_start(now) == period.window_start(now.astimezone(zone))


@given(INSTANTS, PERIODS)
def test_the_first_instant_of_a_window_is_in_it(now: datetime, period: Period) -> None:
    start = period.window_start(now)

    assert start == period.window_start(start)


@given(INSTANTS, st.sampled_from([Period.DAILY, Period.WEEKLY]))
def test_the_window_ends_when_its_length_is_over(now: datetime, period: Period) -> None:
    start, length = period.window_start(now), LENGTHS[period]

    assert start == period.window_start(start + length - timedelta.resolution)
    assert start + length == period.window_start(start + length)


@given(INSTANTS)
def test_a_week_begins_on_monday_and_a_month_on_its_first(now: datetime) -> None:
    week, month = Period.WEEKLY.window_start(now), Period.MONTHLY.window_start(now)

    assert 1 == week.isoweekday()
    assert now.isocalendar()[:2] == week.isocalendar()[:2]
    assert (now.year, now.month, 1) == (month.year, month.month, month.day)


@given(INSTANTS)
def test_a_run_has_one_window_for_ever(now: datetime) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) == Period.RUN.window_start(now)


@pytest.mark.parametrize(
    ("period", "now", "start"),
    [
        (Period.DAILY, "2026-03-01T00:30:00+02:00", "2026-02-28"),
        (Period.DAILY, "2026-02-28T23:30:00-02:00", "2026-03-01"),
        (Period.DAILY, "2028-02-29T23:59:59.999999+00:00", "2028-02-29"),
        (Period.WEEKLY, "2026-10-04T23:59:59.999999+00:00", "2026-09-28"),
        (Period.WEEKLY, "2026-10-05T00:00:00+00:00", "2026-10-05"),
        (Period.WEEKLY, "2026-10-05T08:00:00+09:00", "2026-09-28"),
        (Period.WEEKLY, "2027-01-01T12:00:00+00:00", "2026-12-28"),
        (Period.MONTHLY, "2026-03-01T00:30:00+02:00", "2026-02-01"),
        (Period.MONTHLY, "2026-12-31T23:59:59.999999+00:00", "2026-12-01"),
        (Period.MONTHLY, "2026-12-31T22:00:00-05:00", "2027-01-01"),
    ],
)
def test_windows_are_those_of_the_calendar_in_utc(period: Period, now: str, start: str) -> None:
    assert f"{start}T00:00:00+00:00" == period.window_start(datetime.fromisoformat(now)).isoformat()


@pytest.mark.parametrize(("spent", "held", "remaining"), [(0, 0, 100), (30, 20, 50), (60, 40, 0), (100, 30, -30)])
def test_what_remains_is_the_limit_less_what_is_spent_and_held(spent: int, held: int, remaining: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    status = BudgetStatus(
        budget=Budget(
            budget_id="budget_1",
            org_id="org_1",
            period=Period.DAILY,
            limit_micro_usd=MicroUsd(100),
            run_id=None,
            created_at=now,
        ),
        window_start=now,
        spent_micro_usd=MicroUsd(spent),
        held_micro_usd=MicroUsd(held),
    )

    assert remaining == status.remaining_micro_usd


def test_the_record_of_a_decision_is_json_and_names_every_model_and_why() -> None:
    routing = Routing(
        routes=(_route("cheap", expected=1), _route("dear", expected=9)),
        tier="Gold",
        reason="cheapest of 2 Gold models",
        excluded={"openai/small": "it is not offered for Gold"},
    )

    expected = (
        b'{"candidates":[{"expected_micro_usd":1,"model":"openai/cheap"},{"expected_micro_usd":9,"model":"openai/dear"}]'
        b',"excluded":{"openai/small":"it is not offered for Gold"},"reason":"cheapest of 2 Gold models","tier":"Gold"}'
    )
    assert expected == canonical_json(routing.record())


def _route(model: str, *, expected: int) -> Route:
    return Route(
        provider="openai",
        model=model,
        price=None,
        ceiling_micro_usd=MicroUsd(10),
        expected_micro_usd=MicroUsd(expected),
        max_output_tokens=512,
    )
