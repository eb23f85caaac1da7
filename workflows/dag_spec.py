"""The DAG document: what may stand in it, by itself; how its parts hang together is the compiler's matter."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from workflows.dag_document import Document, PathSteps
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


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=30 * 86400)]


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


class BodySpec(_Strict):
    """What a map does with each item, or a reduce with all of them."""

    type: Literal["llm", "tool", "function"]
    config: dict[str, Any]


class MapConfig(_Strict):
    """`body` once for each item of the list `over`, at most `window` at a time; the body sees `item` and `index`."""

    over: str
    window: int = Field(default=4, ge=1, le=200)
    body: BodySpec


class ReduceConfig(_Strict):
    """`body` once over the whole list `over`, which it sees as `items`."""

    over: str
    body: BodySpec


CONFIGS: Mapping[str, type[_Strict]] = {
    "llm": LlmConfig,
    "tool": ToolConfig,
    "function": FunctionConfig,
    "map": MapConfig,
    "reduce": ReduceConfig,
}
LeafConfig = LlmConfig | ToolConfig | FunctionConfig
NodeConfig = LeafConfig | MapConfig | ReduceConfig


class _NodeFields(_Strict):
    id: str = Field(pattern=IDENTIFIER)
    type: Literal["llm", "tool", "function", "map", "reduce"]
    config: dict[str, Any]
    depends: list[str] = Field(default_factory=list)
    when: str | None = None
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
    #: Where `nodes` and `edges` stand: at the top, or below `dag`.
    root: PathSteps = ()

    def node_path(self, position: int) -> PathSteps:
        """The path of the node at `position`."""
        return (*self.root, "nodes", position)

    def prompt_references(self) -> list[str]:
        """The prompts that the document names, each once, in order."""
        references = [node.leaf.prompt_ref for node in self.nodes if isinstance(node.leaf, LlmConfig)]
        return list(dict.fromkeys(references))


def read_spec(document: Document) -> DagSpec:
    """The document as a spec; raises SpecInvalid with every part that has not the right form."""
    problems = list(document.problems)
    data, root = _flatten(document, problems)
    fields = _validate(_DocumentFields, data, (), document, problems, moved=root)
    nodes = _read_nodes(data.get("nodes"), (*root, "nodes"), document, problems)
    if problems or fields is None:
        raise SpecInvalid(problems)
    return DagSpec.model_construct(**{**dict(fields), "nodes": nodes, "root": root})


def _flatten(document: Document, problems: list[SpecProblem]) -> tuple[dict[str, Any], PathSteps]:
    data = dict(document.data)
    if "dag" not in data:
        return data, ()
    dag = data.pop("dag")
    if not isinstance(dag, dict):
        problems.append(document.problem("wrong_type", ("dag",), "`dag` must be a mapping with `nodes`"))
        return data, ()
    problems.extend(
        document.problem("duplicate_key", ("dag", key), f"{key!r} stands at the top level too")
        for key in sorted(set(dag) & set(data))
    )
    return {**data, **dag}, ("dag",)


def _read_nodes(nodes: Any, path: PathSteps, document: Document, problems: list[SpecProblem]) -> list[NodeSpec]:
    found: list[NodeSpec] = []
    for position, data in enumerate(nodes if isinstance(nodes, list) else []):
        node = _read_node(data, (*path, position), document, problems)
        if node is not None:
            found.append(node)
    return found


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
    moved: PathSteps = (),
) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            location = details["loc"]
            if moved and location and location[0] in {"nodes", "edges"}:
                location = (*moved, *location)
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
        return f"`{details['loc'][-1]}` is not a field here; the fields are {known}"
    given = details["input"]
    shown = f" (it is {given!r})" if isinstance(given, str | int | float | bool) and len(str(given)) <= 80 else ""
    message = details["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}{shown}"


def _model_at(model: type[BaseModel], path: PathSteps) -> type[BaseModel]:
    """The model of the part at `path` below `model`, as far as models go."""
    for step in path:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        inner = [part for part in (annotation, *get_args(annotation)) if isinstance(part, type)]
        model = next((part for part in inner if issubclass(part, BaseModel)), model)
    return model
