"""What the platform has recorded, read from its tables when everything is over."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, create_engine, text

from agentflow.database import with_psycopg_driver

_RESERVATIONS = """
    SELECT reservation_id, run_id, state, ceiling_micro_usd, settled_micro_usd, budget_ids FROM reservations
"""
_POSTINGS = """
    SELECT transaction_id, run_id, sum(amount_micro_usd)::bigint AS balance,
           sum(amount_micro_usd) FILTER (WHERE account <> 'funds')::bigint AS spent,
           max(details ->> 'step') AS step, count(*) AS sides
    FROM ledger_entries GROUP BY transaction_id, run_id
"""
#: Under the run at the top, which is the one that pays; no two runs of one tree have a node of the same name.
_STEPS = """
    SELECT coalesce(runs.root_run_id, steps.run_id) AS run_id, steps.node_id, steps.item_index, steps.part,
           steps.state, steps.possible_duplicates
    FROM steps JOIN runs USING (org_id, run_id)
"""
_RUNS = "SELECT run_id, state, idempotency_key, workflow_name, error_code, error_message FROM runs"
_DOUBTS = "SELECT run_id, node_id, item_index, part, state FROM gates WHERE kind = 'in_doubt'"
_RECORDS = "SELECT key, version FROM records WHERE collection = 'chaos'"
_WINDOWS = """
    SELECT budget_id, sum(spent_micro_usd)::bigint AS spent, sum(held_micro_usd)::bigint AS held
    FROM budget_windows GROUP BY budget_id
"""

_CONNECT_SECONDS, _STATEMENT_SECONDS = 10, 120

Row = dict[str, Any]
#: A step: run, node, item, part.
Where = tuple[str, str, int | None, str | None]


def where_of(row: Row) -> Where:
    """The step that a row is about."""
    return row["run_id"], row["node_id"], row["item_index"], row["part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The rows that the judgement looks at."""

    runs: tuple[Row, ...]
    steps: tuple[Row, ...]
    reservations: tuple[Row, ...]
    #: A settlement each: both sides of it together.
    postings: tuple[Row, ...]
    budgets: tuple[Row, ...]
    #: Steps that were in doubt, each time that they were.
    doubts: tuple[Row, ...] = ()
    records: tuple[Row, ...] = ()


def read_evidence(database_url: str) -> Evidence:
    """All of it, in one snapshot."""
    with _connection(database_url) as connection:

        def rows(statement: str) -> tuple[Row, ...]:
            return tuple(dict(row) for row in connection.execute(text(statement)).mappings())

        return Evidence(
            runs=rows(_RUNS),
            steps=rows(_STEPS),
            reservations=rows(_RESERVATIONS),
            postings=rows(_POSTINGS),
            budgets=rows(_WINDOWS),
            doubts=rows(_DOUBTS),
            records=rows(_RECORDS),
        )


@contextmanager
def _connection(database_url: str) -> Iterator[Connection]:
    limits = {"connect_timeout": _CONNECT_SECONDS, "options": f"-c statement_timeout={_STATEMENT_SECONDS}s"}
    engine = create_engine(with_psycopg_driver(database_url), isolation_level="REPEATABLE READ", connect_args=limits)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
