"""The places where a process is made to die: right before and right after each transition of the journals.

A transition is known by its SQL, or by the request that goes to Temporal. One that is never reached fails the suite,
so that these patterns cannot fall behind the statements that they stand for.
"""

import re
from dataclasses import dataclass
from typing import Literal

Moment = Literal["before", "after"]
MOMENTS: tuple[Moment, Moment] = ("before", "after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A commit that changes what is recorded of a run."""

    name: str
    #: `worker-0` or `api`: whose transition it is.
    part: str
    pattern: re.Pattern[str]
    #: The workload that makes it.
    shape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A transition, and where beside it a process is to die."""

    transition: Transition
    moment: Moment
    #: The n-th that this process comes to.
    nth: int

    def line(self) -> str:
        return f"{self.transition.name}:{self.moment}:{self.nth}"


def _worker(name: str, pattern: str, shape: str) -> Transition:
    return Transition(name=name, part="worker-0", pattern=re.compile(pattern, re.DOTALL), shape=shape)


def _api(name: str, pattern: str, shape: str) -> Transition:
    return Transition(name=name, part="api", pattern=re.compile(pattern, re.DOTALL), shape=shape)


TRANSITIONS: tuple[Transition, ...] = (
    _worker("open_run", r"UPDATE runs SET state = 'running'", "chain"),
    _worker("claim", r"INSERT INTO steps .*'claimed',\s+:attempt", "chain"),
    _worker("reserve", r"INSERT INTO reservations", "chain"),
    _worker("commit", r"UPDATE steps SET state = 'committed', unsettled", "chain"),
    _worker("claim_effect", r"INSERT INTO steps .*'claimed',\s+:attempt", "effects"),
    _worker("settle", r"INSERT INTO ledger_entries", "chain"),
    _worker("record", r"INSERT INTO steps .*'committed',\s+:attempt.*ON CONFLICT \(effect_key\) DO UPDATE", "chain"),
    _worker("fail", r"UPDATE steps SET state = :state", "mishaps"),
    _worker("record_failure", r"INSERT INTO steps .*:kind, :state", "mishaps"),
    _worker("open_map", r"INSERT INTO maps", "batch"),
    _worker("batch_record", r"COPY map_items", "batch"),
    _worker("close_map", r"UPDATE maps SET closed_at", "batch"),
    _worker("map_output", r"INSERT INTO map_outputs", "document"),
    _worker("open_gate", r"INSERT INTO gates", "gates"),
    _worker("close_gate", r"UPDATE gates SET state = :state", "gates"),
    _worker("put_record", r"INSERT INTO records", "effects"),
    _worker("into_doubt", r"UPDATE steps SET\s+state = 'in_doubt'", "doubts"),
    _worker("doubt_performed", r"UPDATE steps SET state = 'committed', fence = fence \+ 1", "doubts"),
    _worker("doubt_not_performed", r"UPDATE steps SET state = 'failed', fence = fence \+ 1", "doubts"),
    _worker("record_turn", r"UPDATE steps SET state = 'committed', unsettled", "agent"),
    _worker(
        "settle_node", r"INSERT INTO steps .*'committed',\s+:attempt.*ON CONFLICT \(effect_key\) DO UPDATE", "agent"
    ),
    _worker("take_over", r"INSERT INTO steps \(effect_key", "redrive"),
    _worker("claim_compensation", r"INSERT INTO steps .*'claimed',\s+:attempt", "compensated"),
    _worker("call_tool_server", r"UPDATE steps SET state = 'committed', unsettled", "tool_server"),
    _worker("record_child", r"INSERT INTO runs", "composite"),
    _worker("close_run", r"UPDATE runs SET state = :state", "chain"),
    _api("record_run", r"INSERT INTO runs", "chain"),
    _api("start_workflow", r"^start_workflow$", "chain"),
    _api("request_cancel", r"UPDATE runs SET cancel_requested_at", "cancel"),
    _api("pause", r"UPDATE runs SET paused_at = coalesce", "pause"),
    _api("resume", r"UPDATE runs SET paused_at = NULL", "pause"),
    _api("send_signal", r"^send_signal$", "pause"),
    _api("send_update", r"^send_update$", "gates"),
)


def transition(name: str) -> Transition:
    return next(found for found in TRANSITIONS if found.name == name)


def read_arm(line: str) -> Arm:
    """The inverse of `Arm.line`."""
    name, moment, nth = line.strip().split(":")
    return Arm(transition=transition(name), moment="before" if moment == "before" else "after", nth=int(nth))
