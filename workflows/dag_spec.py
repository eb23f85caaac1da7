"""The DAG document: what may stand in it, by itself; how its parts hang together is the compiler's matter."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from workflows.dag_document import MAX_PROBLEMS, Document, PathSteps, in_order
from workflows.errors import SpecInvalid, SpecProblem
from workflows.node_configs import (
    CONFIGS,
    LeafConfig,
    LlmConfig,
    MapConfig,
    NodeConfig,
    PolicySpec,
    ReduceConfig,
    RetrySpec,
    Strict,
    Timeout,
)

IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
FAIRNESS_KEY = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$"
NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,126}$"
MAX_NODES = 256
#: Names that expressions use for something else.
RESERVED_IDS = frozenset({"inputs", "item", "index", "items", "true", "false", "null", "in", "run"})


class _NodeFields(Strict):
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


class DefaultsSpec(Strict):
    """What nodes get that do not say otherwise."""

    retry: RetrySpec | None = None
    timeout: Timeout | None = None


class _DocumentFields(Strict):
    name: str = Field(pattern=NAME)
    version: int = Field(default=1, ge=1, le=2**31 - 1)
    description: str | None = Field(default=None, max_length=4096)
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] = Field(default_factory=dict)
    defaults: DefaultsSpec = DefaultsSpec()
    policy: PolicySpec = PolicySpec()
    #: 1 is served first, 5 last.
    priority: int | None = Field(default=None, ge=1, le=5)
    fairness_key: str | None = Field(default=None, pattern=FAIRNESS_KEY)
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
