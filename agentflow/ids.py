"""Identifiers: sortable by time where rows are made, derived by hash where any process must compute them."""

import hashlib
import secrets
import time

_TRACE_HASH_BYTES = 10
_SPAN_BYTES = 8


def new_id(prefix: str) -> str:
    """`prefix_` and 32 hex digits: 48 bits of Unix milliseconds, then 80 random bits (as UUID version 7)."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}_{milliseconds:012x}{secrets.token_hex(10)}"


def trace_id_of(run_id: str) -> str:
    """The trace id of a run, 32 hex digits: its start in 48-bit milliseconds, then 80 bits of a hash.

    `run_id` carries its own start time, so every process derives the same id without asking anyone.
    """
    start = run_id.rpartition("_")[2][:12]
    digest = hashlib.sha256(run_id.encode()).hexdigest()
    return start.rjust(12, "0") + digest[: _TRACE_HASH_BYTES * 2]


def span_id_of(run_id: str, *path: str | int) -> str:
    """The span id, 16 hex digits, of a step of a run; `path` names the step (node, item, attempt)."""
    name = "\x1f".join([run_id, *(str(part) for part in path)])
    return hashlib.sha256(name.encode()).digest()[:_SPAN_BYTES].hex()
