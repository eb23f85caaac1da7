"""The DAG document: what may stand in it, by itself; how its parts hang together is the compiler's matter."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

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
from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps, in_order
from workflows.errors import SpecInvalid, SpecProblem

IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,126}$"
MAX_NODES = 256
#: Names that expressions use for something else.
RESERVED_IDS = frozenset({"inputs", "item", "index", "items", "true", "false", "null", "in", "run"})

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        match = _DURATION.match(value.strip())
        if match is None:
            raise ValueError("write seconds as a number, or a duration such as 500ms, 30s, 5m, 1h")
        return float(match.group(1)) * _UNIT_SECONDS[match.group(2)]
    return value


#: From a millisecond on: less is no time at all to Temporal, which takes that for a missing value.
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0.001, le=30 * 86400)]


#: The name of an API key.
ApproverName = Annotated[str, Field(min_length=1, max_length=127)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RetrySpec(_Strict):
    """How often a step is tried, and how long between; transport failures only."""

    attempts: int = Field(default=4, ge=1, le=100)
    initial: Seconds = 1.0
    factor: float = Field(default=2.0, ge=1, le=10, strict=False)
    max: Seconds = 60.0


class TimeoutSpec(_Strict):
    """`run`: one attempt. `queue`: until a worker takes it. `idle`: without a heartbeat. `total`: all attempts."""

    run: Seconds | None = None
    queue: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


def _timeout(value: Any) -> Any:
    return {"run": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


#: A bare number or duration is the time of one attempt.
Timeout = Annotated[TimeoutSpec, BeforeValidator(_timeout)]


class PolicySpec(_Strict):
    """What a step may cost, how good it must be, and what may leave it; unset fields come from the document."""

    quality: Literal["Gold", "Silver", "Bronze"] | None = None
    sla_ms: int | None = Field(default=None, gt=0)
    pii: Literal["redact", "allow", "block"] | None = None
    injection: Literal["block", "flag", "off"] | None = None
    injection_threshold: float | None = Field(default=None, gt=0, le=1, strict=False)
    restore: bool | None = None
    cache: bool | None = None


class LlmConfig(_Strict):
    """A call of a model with a prompt of the registry."""

    prompt_ref: str = Field(min_length=1, max_length=256)
    inputs: dict[str, Any] = Field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    max_tokens: int = Field(default=512, ge=1, le=200_000)
    temperature: float | None = Field(default=None, ge=0, le=2, strict=False)
    top_p: float | None = Field(default=None, gt=0, le=1, strict=False)
    seed: int | None = None
    stop: list[str] = Field(default_factory=list, max_length=8)
    stream: bool = False
    model: str | None = Field(default=None, pattern=r"^[a-z0-9_]+/.+$")


class ToolConfig(_Strict):
    """A call of a tool; texts in `tool_args` may hold `{{ expressions }}`."""

    tool_name: str = Field(min_length=1, max_length=256)
    tool_args: dict[str, Any] = Field(default_factory=dict)


class FunctionConfig(_Strict):
    """A call of a built-in pure function."""

    function_name: str = Field(min_length=1, max_length=256)
    inputs: dict[str, Any] = Field(default_factory=dict)


class CodeLimitsSpec(_Strict):
    """How far code may go; what is left out is the sandbox's own default."""

    fuel: int | None = Field(default=None, ge=FEWEST_FUEL, le=MOST_FUEL)
    memory_bytes: int | None = Field(default=None, ge=LEAST_MEMORY_BYTES, le=MOST_MEMORY_BYTES)
    wall_seconds: Seconds | None = Field(default=None, ge=LEAST_WALL_SECONDS, le=MOST_WALL_SECONDS)
    output_bytes: int | None = Field(default=None, ge=LEAST_OUTPUT_BYTES, le=MOST_OUTPUT_BYTES)


class CodeConfig(_Strict):
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


class EscalationSpec(_Strict):
    """After so long without a decision others may decide too."""

    after: Seconds
    approvers: list[ApproverName] = Field(min_length=1, max_length=50)


class ApprovalConfig(_Strict):
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


class WaitConfig(_Strict):
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


class BodySpec(_Strict):
    """What a map does with each item, or a reduce with all of them."""

    type: Literal["llm", "tool", "function", "code"]
    config: dict[str, Any]


class ToleranceSpec(_Strict):
    """How many items of a map may fail, as a number or as a share of all; whichever is more counts."""

    count: int = Field(default=0, ge=0)
    percent: float = Field(default=0.0, ge=0, le=100, strict=False)


class MapConfig(_Strict):
    """`body` once for each item of the list `over`, at most `window` at a time; the body sees `item` and `index`.

    `batch` items are one activity where the body is a function; failed items that are tolerated give null.
    """

    over: str
    window: int = Field(default=4, ge=1, le=200)
    batch: int | None = Field(default=None, ge=1, le=1_000)
    max_items: int = Field(default=100_000, ge=1, le=1_000_000)
    tolerate: ToleranceSpec = ToleranceSpec()
    body: BodySpec


class ReduceConfig(_Strict):
    """`body` once over the whole list `over`, which it sees as `items`."""

    over: str
    body: BodySpec


CONFIGS: Mapping[str, type[_Strict]] = {
    "llm": LlmConfig,
    "tool": ToolConfig,
    "function": FunctionConfig,
    "code": CodeConfig,
    "approval": ApprovalConfig,
    "wait": WaitConfig,
    "map": MapConfig,
    "reduce": ReduceConfig,
}
LeafConfig = LlmConfig | ToolConfig | FunctionConfig | CodeConfig | ApprovalConfig | WaitConfig
NodeConfig = LeafConfig | MapConfig | ReduceConfig


class _NodeFields(_Strict):
    id: str = Field(pattern=IDENTIFIER)
    type: Literal["llm", "tool", "function", "code", "approval", "wait", "map", "reduce"]
    config: dict[str, Any]
    depends: list[str] = Field(default_factory=list)
    when: str | None = None
    on_error: Literal["fail", "continue"] = "fail"
    retry: RetrySpec | None = None
    timeout: Timeout | None = None
    policy: PolicySpec = PolicySpec()


class NodeSpec(_NodeFields):
    """A node with its configuration in the form of its type."""

    settings: NodeConfig
    #: What names a prompt, a tool or a function: the settings, or for map and reduce those of their body.
    leaf: LeafConfig


class EdgeSpec(BaseModel):
    """`from` before `to`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    source: str = Field(alias="from")
    target: str = Field(alias="to")


class DefaultsSpec(_Strict):
    """What nodes get that do not say otherwise."""

    retry: RetrySpec | None = None
    timeout: Timeout | None = None


class _DocumentFields(_Strict):
    name: str = Field(pattern=NAME)
    version: int = Field(default=1, ge=1, le=2**31 - 1)
    description: str | None = Field(default=None, max_length=4096)
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] = Field(default_factory=dict)
    defaults: DefaultsSpec = DefaultsSpec()
    policy: PolicySpec = PolicySpec()
    nodes: list[Any] = Field(min_length=1, max_length=MAX_NODES)
    edges: list[EdgeSpec] = Field(default_factory=list)


class DagSpec(_DocumentFields):
    """A document whose every part has the right form."""

    nodes: list[NodeSpec]
    #: The parts that stand below `dag`, not at the top.
    below_dag: frozenset[str] = frozenset()
    #: Where each of `nodes` stands in the document: those whose form is wrong are left out of `nodes`.
    positions: tuple[int, ...] = ()
    #: The ids of the nodes that are left out: others may refer to them.
    broken_ids: frozenset[str] = frozenset()
    #: False when edges were left out because their form is wrong.
    edges_are_whole: bool = True

    def part_path(self, part: str) -> PathSteps:
        """The path of `nodes`, `inputs`, …: at the top, or below `dag`."""
        return _part_path(part, self.below_dag)

    def node_path(self, position: int) -> PathSteps:
        """The path of the node at `position` in `nodes`."""
        return (*self.part_path("nodes"), self.positions[position])

    def prompt_references(self) -> list[str]:
        """The prompts that the document names, each once, in order."""
        references = [node.leaf.prompt_ref for node in self.nodes if isinstance(node.leaf, LlmConfig)]
        return list(dict.fromkeys(references))


def read_spec(document: Document) -> DagSpec:
    """The document as a spec; raises SpecInvalid with every part that has not the right form."""
    spec, problems = read_parts(document)
    if problems:
        raise SpecInvalid(in_order(problems))
    return spec


def read_parts(document: Document) -> tuple[DagSpec, list[SpecProblem]]:
    """As much of the document as has the right form, and what has not: the rest can be checked all the same."""
    problems = list(document.problems)
    data, below_dag = _flatten(document, problems)
    fields = _read_fields(data, document, problems, below_dag)
    nodes, positions, broken = _read_nodes(data.get("nodes"), _part_path("nodes", below_dag), document, problems)
    parts = {
        "nodes": nodes,
        "positions": positions,
        "broken_ids": broken,
        "edges_are_whole": bool(fields.edges) or not data.get("edges"),
        "below_dag": below_dag,
    }
    return DagSpec.model_construct(**{**dict(fields), **parts}), problems


def _read_fields(
    data: dict[str, Any], document: Document, problems: list[SpecProblem], below_dag: frozenset[str]
) -> _DocumentFields:
    """What stands at the top; parts of the wrong form are reported, and read as if they were not there."""
    found = len(problems)
    fields: _DocumentFields | None = _validate(_DocumentFields, data, (), document, problems, below_dag=below_dag)
    if fields is not None:
        return fields
    wrong = {problem.path.removeprefix("$.dag.").removeprefix("$.") for problem in problems[found:]}
    sound = {
        part: value
        for part, value in data.items()
        if part in _DocumentFields.model_fields
        and not any(path == part or path.startswith((f"{part}.", f"{part}[")) for path in wrong)
    }
    return _DocumentFields.model_construct(**{"name": "", **_validated_parts(sound)})


def _validated_parts(sound: dict[str, Any]) -> dict[str, Any]:
    """Each part as the model would have it, had the others been right."""
    stand_in = {"name": "stand_in", "nodes": [{}]}
    fields = _DocumentFields.model_validate({**stand_in, **{k: v for k, v in sound.items() if k != "nodes"}})
    return {part: getattr(fields, part) for part in _DocumentFields.model_fields if part in sound}


def _part_path(part: str, below_dag: frozenset[str]) -> PathSteps:
    return ("dag", part) if part in below_dag else (part,)


def _flatten(document: Document, problems: list[SpecProblem]) -> tuple[dict[str, Any], frozenset[str]]:
    data = dict(document.data)
    if "dag" not in data:
        return data, frozenset()
    dag = data.pop("dag")
    if not isinstance(dag, dict):
        problems.append(document.problem("wrong_type", ("dag",), "`dag` must be a mapping with `nodes`"))
        return data, frozenset()
    problems.extend(
        document.problem("duplicate_key", ("dag", key), f"{key!r} stands at the top level too")
        for key in sorted(set(dag) & set(data))
    )
    # The nodes belong below `dag` when they are nowhere.
    return {**data, **dag}, frozenset(dag) | ({"nodes"} - set(data))


def _read_nodes(
    nodes: Any, path: PathSteps, document: Document, problems: list[SpecProblem]
) -> tuple[list[NodeSpec], tuple[int, ...], frozenset[str]]:
    """The nodes of the right form, where they stand, and the ids of the others."""
    found: list[NodeSpec] = []
    positions: list[int] = []
    broken: set[str] = set()
    for position, data in enumerate(nodes[:MAX_NODES] if isinstance(nodes, list) else []):
        node = _read_node(data, (*path, position), document, problems)
        if node is not None:
            found.append(node)
            positions.append(position)
        elif isinstance(data, dict) and isinstance(data.get("id"), str):
            broken.add(data["id"])
    return found, tuple(positions), frozenset(broken)


def _read_node(data: Any, path: PathSteps, document: Document, problems: list[SpecProblem]) -> NodeSpec | None:
    fields = _validate(_NodeFields, data, path, document, problems)
    kind = data.get("type") if isinstance(data, dict) else None
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in CONFIGS or not isinstance(config, dict):
        return None
    settings = _validate(CONFIGS[kind], config, (*path, "config"), document, problems)
    leaf = settings
    if isinstance(settings, MapConfig | ReduceConfig):
        body_path = (*path, "config", "body", "config")
        leaf = _validate(CONFIGS[settings.body.type], settings.body.config, body_path, document, problems)
    if fields is None or leaf is None:
        return None
    return NodeSpec.model_construct(**{**dict(fields), "settings": settings, "leaf": leaf})


def _validate(
    model: type[BaseModel],
    data: Any,
    path: PathSteps,
    document: Document,
    problems: list[SpecProblem],
    *,
    below_dag: frozenset[str] = frozenset(),
) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for details in error.errors(include_url=False)[: MAX_PROBLEMS + 1]:
            location = details["loc"]
            if location and location[0] in below_dag:
                location = ("dag", *location)
            problems.append(document.problem(_code(details), (*path, *location), _message(details, model)))
        return None


def _code(details: ErrorDetails) -> str:
    return {"missing": "missing", "extra_forbidden": "unknown_field"}.get(details["type"], "wrong_type")


def _message(details: ErrorDetails, model: type[BaseModel]) -> str:
    if details["type"] == "missing":
        return f"`{details['loc'][-1]}` is missing; add it"
    if details["type"] == "extra_forbidden":
        fields = _model_at(model, details["loc"][:-1]).model_fields
        known = ", ".join(sorted(info.alias or name for name, info in fields.items()))
        return f"{details['loc'][-1]!r} is not a field here; the fields are {known}"
    given = details["input"]
    shown = f" (it is {given!r})" if isinstance(given, str | int | float | bool) and len(str(given)) <= 80 else ""
    message = details["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}{shown}"


def _model_at(model: type[BaseModel], path: PathSteps) -> type[BaseModel]:
    """The model of the part at `path` below `model`, as far as models go."""
    for step in path:
        if isinstance(step, int):
            continue
        model = next(_models_in(model.model_fields[step].annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, inside `Annotated`, unions and lists too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
