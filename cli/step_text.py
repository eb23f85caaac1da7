"""A step as text: its facts, its attempts with what they sent and got, its parts; pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from agentflow.client_types import StepAttemptDocument, StepDocument, StepFactsDocument, StepSummaryDocument
from agentflow.money import MicroUsd, format_usd
from cli.output import facts, local_time, printable, table
from observability.analysis.trace_text import format_duration

#: Of one message, answer or value.
SHOWN_CHARACTERS = 2_000
_ERROR_CHARACTERS = 160
_INDENT = "    "
_CUT = "… [{:,} more characters: -o json shows all]"


def step_text(found: StepDocument) -> str:
    """All that is known of a step, the earliest attempt first."""
    blocks = [_heading(found)]
    seen: list[dict[str, Any]] = []
    for attempt in reversed(found["attempts"]):
        blocks.append("\n".join(_attempt_lines(attempt, seen)))
        seen = attempt.get("messages", seen)
    if found["output"] is not None:
        blocks.append("\n".join(_block("Output", found["output"])))
    if found["parts"]:
        hint = step_hint(found["run_id"], found["node_id"], found["parts"][0])
        blocks.append(f"{steps_table(found['parts'])}\n\nLook at one: {hint}")
    return "\n\n".join(blocks)


def steps_table(steps: Sequence[StepSummaryDocument]) -> str:
    """Steps of a node, one a line."""
    rows = [
        (
            _name(step["item_index"], step["part"]) or "the node's own",
            step["kind"],
            step["state"],
            str(step["attempt"]),
            format_usd(MicroUsd(step["cost_micro_usd"])) if step["cost_micro_usd"] else "",
            _error_line(step),
        )
        for step in steps
    ]
    return table(("STEP", "KIND", "STATE", "ATTEMPT", "COST", "ERROR"), rows)


def step_hint(run_id: str, node_id: str, step: StepSummaryDocument) -> str:
    """The command that shows a step."""
    item = "" if step["item_index"] is None else f" --item {step['item_index']}"
    part = "" if step["part"] is None else f" --part {step['part']}"
    return f"agentctl workflow step {run_id} {node_id}{item}{part}"


def _heading(found: StepDocument) -> str:
    name = ", ".join(filter(None, (f"node {found['node_id']}", _name(found["item_index"], found["part"]))))
    step = found["step"]
    if step is None:
        return facts({"Run": found["run_id"], "Step": name, "State": "has no step of its own; it is made of these"})
    return facts(
        {"Run": found["run_id"], "Step": f"{name} ({step['kind']})", **_step_facts(step), **_runs_below(found)}
    )


def _step_facts(step: StepFactsDocument) -> dict[str, str | None]:
    error, decision = step["error"], step["decision"]
    model = f"{step['provider']}/{step['model']}" if step["provider"] and step["model"] else step["model"]
    tokens = f"{step['input_tokens']:,} in, {step['output_tokens']:,} out"
    cost = format_usd(MicroUsd(step["cost_micro_usd"])) if step["cost_micro_usd"] else None
    duplicates = step["possible_duplicates"]
    return {
        "State": f"{step['state']}, attempt {step['attempt']}",
        "Error": f"{error['code']}: {error['message']}" if error else None,
        "Began": local_time(step["started_at"]),
        "Ended": local_time(step["finished_at"]),
        "Model": f"{model}{', from the cache' if step['cache_hit'] else ''}" if model else None,
        "Tokens": tokens if step["input_tokens"] or step["output_tokens"] else None,
        "Cost": cost,
        "PII tokenised": ", ".join(f"{kind} {count}" for kind, count in sorted(step["pii"].items())) or None,
        "Effect class": step["effect_class"],
        "Perhaps twice": f"{duplicates} attempts were replaced while they worked" if duplicates else None,
        **_routing(decision),
    }


def _routing(decision: Mapping[str, Any]) -> dict[str, str | None]:
    """How the model was chosen."""
    if not decision:
        return {}
    candidates = [
        f"{candidate['model']} ({format_usd(MicroUsd(candidate['expected_micro_usd']))})"
        for candidate in decision.get("candidates", ())
        if candidate.get("expected_micro_usd") is not None
    ]
    return {
        "Routed by": f"{decision.get('tier')}: {decision.get('reason')}",
        "Candidates": ", ".join(candidates) or None,
        "Chosen": decision.get("chosen"),
        "Excluded": _pairs(decision.get("excluded")),
        "Gave no answer": _pairs(decision.get("failed")),
    }


def _pairs(found: Mapping[str, str] | None) -> str | None:
    return "; ".join(f"{name}: {why}" for name, why in (found or {}).items()) or None


def _runs_below(found: StepDocument) -> dict[str, str | None]:
    step = found["step"]
    run_id = step.get("run_below") if step is not None else None
    return {"Run below": f"agentctl workflow status {run_id}" if run_id is not None else None}


def _attempt_lines(attempt: StepAttemptDocument, seen: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """An attempt; messages that are those of the attempt before are not shown again."""
    took = datetime.fromisoformat(attempt["ended_at"]) - datetime.fromisoformat(attempt["began_at"])
    began, error = local_time(attempt["began_at"]), attempt["error"]
    yield f"Attempt {attempt['attempt']}: {attempt['status']}, {began}, {format_duration(took.total_seconds())}"
    if error:
        yield f"{_INDENT}{printable(error['code'])}: {printable(error['message'])}"
    messages = attempt.get("messages", [])
    if messages and messages == seen:
        yield f"{_INDENT}the same messages as in the attempt before"
    else:
        for message in messages:
            yield from _block(message["role"], _said(message))
    for answer in attempt.get("answers", []):
        yield from _block(_answer_title(answer), _said(answer))
    for partial in attempt.get("partial_answers", []):
        yield from _block("answer, broken off", partial)
    for name, title in (
        ("arguments", "arguments"),
        ("output", "output that was refused"),
    ):
        if name in attempt:
            yield from _block(title, attempt[name])  # type: ignore[literal-required]  # the names are those above


def _answer_title(answer: Mapping[str, Any]) -> str:
    usage = answer["usage"]
    about = "about " if answer["usage_is_estimated"] else ""
    tokens = f"{about}{usage['input_tokens']:,} in, {usage['output_tokens']:,} out"
    return f"answer of {answer['model']}, finish reason {answer['finish_reason']}, {tokens}"


def _said(message: Mapping[str, Any]) -> str:
    calls = [f"calls {call['name']}({call['arguments']})" for call in message.get("tool_calls", ())]
    return "\n".join([*([message["text"]] if message["text"] or not calls else []), *calls])


def _block(title: str, value: Any) -> Iterator[str]:
    """A text under its title, indented, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    more = len(text) - SHOWN_CHARACTERS
    shown = printable(text[:SHOWN_CHARACTERS]) + (_CUT.format(more) if more > 0 else "")
    yield f"  {printable(title)}"
    yield from (f"{_INDENT}{line}".rstrip() for line in shown.splitlines() or [""])


def _name(item_index: int | None, part: str | None) -> str:
    return ", ".join(filter(None, (None if item_index is None else f"item {item_index}", part)))


def _error_line(step: StepSummaryDocument) -> str:
    if step["error"] is None:
        return ""
    line = " ".join(f"{step['error']['code']}: {step['error']['message']}".split())
    return line if len(line) <= _ERROR_CHARACTERS else f"{line[:_ERROR_CHARACTERS]}…"
