"""What may stand in the configuration of each kind of node, and in the options that nodes share."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from activities.sandbox.bounds import (
    FEWEST_FUEL,
    LEAST_MEMORY_BYTES,
    LEAST_OUTPUT_BYTES,
    LEAST_WALL_SECONDS,
    MOST_FUEL,
    MOST_MEMORY_BYTES,
    MOST_MODULE_BYTES,
    MOST_OUTPUT_BYTES,
    MOST_SOURCE_CHARACTERS,
    MOST_WALL_SECONDS,
)

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.001, 30 * 86400


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        match = _DURATION.match(value.strip())
        if match is None:
            raise ValueError("write seconds as a number, or a duration such as 500ms, 30s, 5m, 1h")
        return float(match.group(1)) * _UNIT_SECONDS[match.group(2)]
    return value


#: From a millisecond on: less is no time at all to Temporal, which takes that for a missing value.
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=_SHORTEST_SECONDS, le=_LONGEST_SECONDS)]


def _no_less_than_a_timer(value: float) -> float:
    if 0 < value < _SHORTEST_SECONDS:
        raise ValueError("write 0 for no delay, or at least 1ms")
    return value


#: 0, or what `Seconds` takes.
Delay = Annotated[
    float, BeforeValidator(_seconds), AfterValidator(_no_less_than_a_timer), Field(ge=0, le=_LONGEST_SECONDS)
]

#: The name of an API key.
ApproverName = Annotated[str, Field(min_length=1, max_length=127)]


class Strict(BaseModel):
    """Refuses what it does not know, and takes no type for another."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RetrySpec(Strict):
    """How often a step is tried, how long between, and after which errors."""

    attempts: int = Field(default=4, ge=1, le=100)
    initial: Seconds = 1.0
    factor: float = Field(default=2.0, ge=1, le=10, strict=False)
    max: Seconds = 60.0
    jitter: float = Field(default=0.0, ge=0, le=1, strict=False)
    when: str | None = Field(default=None, min_length=1)


class TimeoutSpec(Strict):
    """`run`: one attempt. `queue`: until a worker takes it. `idle`: without a heartbeat. `total`: all attempts."""

    run: Seconds | None = None
    queue: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


def _timeout(value: Any) -> Any:
    return {"run": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


#: A bare number or duration is the time of one attempt.
Timeout = Annotated[TimeoutSpec, BeforeValidator(_timeout)]


class PolicySpec(Strict):
    """What a step may cost, how good it must be, and what may leave it; unset fields come from the document."""

    quality: Literal["Gold", "Silver", "Bronze"] | None = None
    sla_ms: int | None = Field(default=None, gt=0)
    pii: Literal["redact", "allow", "block"] | None = None
    injection: Literal["block", "flag", "off"] | None = None
    injection_threshold: float | None = Field(default=None, gt=0, le=1, strict=False)
    restore: bool | None = None
    tokens: Literal["refuse", "allow"] | None = None
    cache: bool | None = None


class LlmConfig(Strict):
    """A call of a model with a prompt of the registry."""

    prompt_ref: str = Field(min_length=1, max_length=256)
    inputs: dict[str, Any] = Field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    #: 4,096, or what the model has room for, unless it is said.
    max_tokens: int | None = Field(default=None, ge=1, le=200_000)
    temperature: float | None = Field(default=None, ge=0, le=2, strict=False)
    top_p: float | None = Field(default=None, gt=0, le=1, strict=False)
    seed: int | None = None
    stop: list[str] = Field(default_factory=list, max_length=8)
    stream: bool = False
    model: str | None = Field(default=None, pattern=r"^[a-z0-9_]+/.+$")
    #: Answers that are not whole and all the same no failure.
    accept: list[Literal["cut", "refused", "empty"]] = Field(default_factory=list, max_length=3)


class ToolConfig(Strict):
    """A call of a tool; texts in `tool_args` may hold `{{ expressions }}`."""

    tool_name: str = Field(min_length=1, max_length=256)
    tool_args: dict[str, Any] = Field(default_factory=dict)


class FunctionConfig(Strict):
    """A call of a built-in pure function."""

    function_name: str = Field(min_length=1, max_length=256)
    inputs: dict[str, Any] = Field(default_factory=dict)


class CodeLimitsSpec(Strict):
    """How far code may go; what is left out is the sandbox's own default."""

    fuel: int | None = Field(default=None, ge=FEWEST_FUEL, le=MOST_FUEL)
    memory_bytes: int | None = Field(default=None, ge=LEAST_MEMORY_BYTES, le=MOST_MEMORY_BYTES)
    wall_seconds: Seconds | None = Field(default=None, ge=LEAST_WALL_SECONDS, le=MOST_WALL_SECONDS)
    output_bytes: int | None = Field(default=None, ge=LEAST_OUTPUT_BYTES, le=MOST_OUTPUT_BYTES)


class CodeConfig(Strict):
    """Code in the sandbox: `main(input)` of Python or JavaScript, or a WebAssembly module in base64."""

    language: Literal["python", "javascript", "wasm"]
    source: str | None = Field(default=None, min_length=1, max_length=MOST_SOURCE_CHARACTERS)
    module: str | None = Field(default=None, min_length=1)
    inputs: dict[str, Any] = Field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    clock: str = "2000-01-01T00:00:00+00:00"
    limits: CodeLimitsSpec = CodeLimitsSpec()

    @field_validator("clock")
    @classmethod
    def _is_an_instant(cls, value: str) -> str:
        try:
            instant = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError("write an instant with its offset, such as 2026-01-02T03:04:05Z") from error
        if instant.tzinfo is None or not 1970 <= instant.astimezone(UTC).year < 2200:
            raise ValueError("write an instant from 1970 to 2199 with its offset, such as 2026-01-02T03:04:05Z")
        return value

    @model_validator(mode="after")
    def _has_what_its_language_needs(self) -> Self:
        given, other = (self.module, self.source) if self.language == "wasm" else (self.source, self.module)
        if given is None or other is not None:
            wanted = "a `module` in base64" if self.language == "wasm" else "a `source`"
            raise ValueError(f"{self.language} code has {wanted}, and nothing else of the two")
        if self.module is not None:
            _check_module(self.module)
        return self


def _check_module(module: str) -> None:
    try:
        content = base64.b64decode(module, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("`module` is not base64") from error
    if not content.startswith(b"\0asm"):
        raise ValueError("`module` is base64 of something else than a WebAssembly module")
    if len(content) > MOST_MODULE_BYTES:
        raise ValueError(f"`module` has more than {MOST_MODULE_BYTES:,} bytes")


class EscalationSpec(Strict):
    """After so long without a decision others may decide too."""

    after: Seconds
    approvers: list[ApproverName] = Field(min_length=1, max_length=50)


class ApprovalConfig(Strict):
    """A person's decision on what `show` has; approvers are names of API keys."""

    message: str = Field(min_length=1, max_length=2_000)
    show: dict[str, Any] = Field(default_factory=dict)
    approvers: list[ApproverName] = Field(default_factory=list, max_length=50)
    escalate: list[EscalationSpec] = Field(default_factory=list, max_length=10)
    on_reject: Literal["fail", "continue"] = "fail"
    timeout: Seconds | None = None
    on_timeout: Literal["fail", "approve", "reject"] = "fail"

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        moments = [step.after for step in self.escalate]
        if moments != sorted(moments):
            raise ValueError("`escalate` goes from the soonest to the latest")
        if self.timeout is not None and moments and moments[-1] >= self.timeout:
            raise ValueError("`timeout` comes before the last of `escalate`")
        return self


class WaitConfig(Strict):
    """A pause: `for` a time, `until` an instant that an expression gives, or for an `event` from outside by its key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    duration: Seconds | None = Field(default=None, alias="for")
    until: str | None = Field(default=None, min_length=1)
    event: str | None = Field(default=None, min_length=1, max_length=256)
    timeout: Seconds | None = None
    on_timeout: Literal["fail", "continue"] = "fail"

    @model_validator(mode="after")
    def _waits_for_one_thing(self) -> Self:
        if sum(value is not None for value in (self.duration, self.until, self.event)) != 1:
            raise ValueError("say one of `for`, `until` and `event`")
        if self.timeout is not None and self.event is None:
            raise ValueError("`timeout` is for an `event`; a time that is waited for comes by itself")
        return self


class WorkflowConfig(Strict):
    """A run below this one: of a registered workflow by its `name`, or of the `nodes` that stand here.

    Those see nothing but `inputs`, under the names that stand there.
    """

    name: str | None = Field(default=None, min_length=1, max_length=127)
    version: int | None = Field(default=None, ge=1)
    inputs: dict[str, Any] = Field(default_factory=dict)
    nodes: list[Any] | None = Field(default=None, min_length=1)
    edges: list[Any] = Field(default_factory=list)
    outputs: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if (self.name is None) == (self.nodes is None):
            raise ValueError("say the `name` of a registered workflow, or give `nodes`")
        if self.name is not None and (self.edges or self.outputs):
            raise ValueError("`edges` and `outputs` belong to `nodes`; a registered workflow has its own")
        if self.nodes is not None and self.version is not None:
            raise ValueError("`version` is that of a registered workflow; `nodes` have none")
        return self


class BodySpec(Strict):
    """What a map does with each item, a reduce with all of them, or a loop each time round.

    What is more than one step (an agent, or one of the nodes that have a body themselves) is a run below for each.
    """

    type: Literal["llm", "tool", "function", "code", "workflow", "agent", "map", "reduce", "loop", "race"]
    config: dict[str, Any]


class CompensationSpec(Strict):
    """What takes back what a node has done."""

    type: Literal["llm", "tool", "function", "code", "workflow"]
    config: dict[str, Any]
    retry: RetrySpec | None = None
    timeout: Timeout | None = None


class BranchSpec(BodySpec):
    """One of the ways to a race's result; it sets out `after` a while, unless another has won by then."""

    retry: RetrySpec | None = None
    timeout: Timeout | None = None
    after: Seconds | None = None


class ToleranceSpec(Strict):
    """How many items of a map may fail, as a number or as a share of all; whichever is more counts."""

    count: int = Field(default=0, ge=0)
    percent: float = Field(default=0.0, ge=0, le=100, strict=False)


class MapConfig(Strict):
    """`body` once for each item of the list `over`, at most `window` at a time; the body sees `item` and `index`.

    `batch` items are one activity where the body is a function; failed items that are tolerated give null.
    """

    over: str
    window: int = Field(default=4, ge=1, le=200)
    batch: int | None = Field(default=None, ge=1, le=1_000)
    max_items: int = Field(default=100_000, ge=1, le=1_000_000)
    tolerate: ToleranceSpec = ToleranceSpec()
    body: BodySpec


class ReduceConfig(Strict):
    """`body` over the whole list `over`, which it sees as `items`.

    With `fan_in`, over so many items at a time, and over the results again until there is one.
    """

    over: str
    fan_in: int | None = Field(default=None, ge=2, le=200)
    window: int = Field(default=4, ge=1, le=200)
    body: BodySpec


class LoopConfig(Strict):
    """`body` again and again, which sees `iteration` (from 0) and `last`, what it gave the time before.

    The loop ends when `until`, an expression over the same two, holds after a time round. `delay` passes between two
    times round.
    """

    max_iterations: int = Field(ge=1, le=200)
    until: str | None = Field(default=None, min_length=1)
    on_exhausted: Literal["continue", "fail"] = "continue"
    delay: Delay = 0.0
    body: BodySpec


BranchName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class RaceConfig(Strict):
    """Several ways to one result: the first that succeeds gives it, and the others are cancelled."""

    branches: dict[BranchName, BranchSpec] = Field(min_length=2, max_length=16)


CONFIGS: Mapping[str, type[Strict]] = {
    "llm": LlmConfig,
    "tool": ToolConfig,
    "function": FunctionConfig,
    "code": CodeConfig,
    "approval": ApprovalConfig,
    "wait": WaitConfig,
    "map": MapConfig,
    "reduce": ReduceConfig,
    "workflow": WorkflowConfig,
    "loop": LoopConfig,
    "race": RaceConfig,
}
#: Those that stand in a body as they are; other nodes do so in a run below.
BODY_CONFIGS: Mapping[str, type[Strict]] = {
    name: CONFIGS[name] for name in ("llm", "tool", "function", "code", "workflow")
}
LeafConfig = LlmConfig | ToolConfig | FunctionConfig | CodeConfig | ApprovalConfig | WaitConfig | WorkflowConfig
#: Nodes whose work stands in their `body`.
BodiedConfig = MapConfig | ReduceConfig | LoopConfig
NodeConfig = LeafConfig | BodiedConfig | RaceConfig
