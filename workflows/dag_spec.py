"""The DAG document: what may stand in it, by itself; how its parts hang together is the compiler's matter."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from workflows.agent_config import AgentConfig
from workflows.dag_document import Document, PathSteps, in_order
from workflows.errors import SpecInvalid, SpecProblem
from workflows.form_problems import read_form
from workflows.node_configs import (
    BODY_CONFIGS,
    CONFIGS,
    ApprovalConfig,
    BodySpec,
    BranchSpec,
    CompensationSpec,
    LeafConfig,
    LlmConfig,
    LoopConfig,
    MapConfig,
    NodeConfig,
    PolicySpec,
    RaceConfig,
    ReduceConfig,
    RetrySpec,
    Strict,
    Timeout,
    TimeoutSpec,
    ToolConfig,
    WorkflowConfig,
)

IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
FAIRNESS_KEY = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$"
NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,126}$"
MAX_NODES = 256
#: Nodes inside nodes, of which each may have nodes again.
MAX_NESTED_WORKFLOWS = 4
#: Type of a node → the form of its configuration; those of bodies are in CONFIGS alone.
NODE_CONFIGS: Mapping[str, type[Strict]] = {**CONFIGS, "agent": AgentConfig}
#: What a run below gives that is the one node of a body.
BODY_OUTPUT = "output"
#: Names that expressions use for something else.
RESERVED_IDS = frozenset({"inputs", "item", "index", "items", "true", "false", "null", "in", "run"})
#: What a loop's body sees besides; nodes may be called so.
_NAMES_IN_LOOPS = frozenset({"iteration", "last"})


class _NodeFields(Strict):
    id: str = Field(pattern=IDENTIFIER)
    type: Literal[
        "llm", "tool", "function", "code", "approval", "wait", "map", "reduce", "workflow", "loop", "race", "agent"
    ]
    config: dict[str, Any]
    depends: list[str] | str = Field(default_factory=list)
    when: str | None = None
    on_error: Literal["fail", "continue"] = "fail"
    compensate: CompensationSpec | None = None
    retry: RetrySpec | None = None
    timeout: Timeout | None = None
    policy: PolicySpec = PolicySpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafForm:
    """Something that a node does, and where it stands below the node."""

    type: str
    config: LeafConfig
    place: PathSteps
    #: workflow: the nodes that stand in it.
    inner: "DagSpec | None" = None
    #: Whether `inner` is the one node that a body is, which sees what the body sees, and gives what the body gives.
    is_body: bool = False
    retry: RetrySpec | None = None
    timeout: TimeoutSpec | None = None
    after_seconds: float = 0.0


class NodeSpec(_NodeFields):
    """A node with its configuration in the form of its type."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    settings: NodeConfig
    #: What names a prompt, a tool or a function: the settings, or those of their body; None for a race.
    leaf: LeafForm | None
    #: race: its branches by name.
    branches: dict[str, LeafForm] = Field(default_factory=dict)
    taking_back: LeafForm | None = None
    is_final: bool = False

    def leaves(self) -> tuple[LeafForm, ...]:
        """Everything that the node may do."""
        return tuple(leaf for leaf in (self.leaf, *self.branches.values(), self.taking_back) if leaf is not None)


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
    #: Nodes that run once everything else has ended, however it ended.
    final: list[Any] = Field(default_factory=list, max_length=MAX_NODES, alias="finally")
    concurrency: int | None = Field(default=None, ge=1, le=1_000)


#: A part of the document → the field that it is read into.
_PARTS: Mapping[str, str] = {info.alias or name: name for name, info in _DocumentFields.model_fields.items()}


class DagSpec(_DocumentFields):
    """A document whose every part has the right form."""

    #: Those of `finally` come last.
    nodes: list[NodeSpec]
    #: The parts that stand below `dag`, not at the top.
    below_dag: frozenset[str] = frozenset()
    #: Where each of `nodes` stands in the document: those whose form is wrong are left out of `nodes`.
    places: tuple[PathSteps, ...] = ()
    #: The ids of the nodes that are left out: others may refer to them.
    broken_ids: frozenset[str] = frozenset()
    #: False when edges were left out because their form is wrong.
    edges_are_whole: bool = True

    def part_path(self, part: str) -> PathSteps:
        """The path of `nodes`, `inputs`, …: at the top, or below `dag`."""
        return _part_path(part, self.below_dag)

    def node_path(self, position: int) -> PathSteps:
        """The path of the node at `position` in `nodes`."""
        return self.places[position]

    def prompt_references(self) -> list[str]:
        """The prompts that the document names, each once, in order."""
        configs = (leaf.config for leaf in self.all_leaves())
        return list(dict.fromkeys(config.prompt_ref for config in configs if isinstance(config, LlmConfig)))

    def tool_names(self) -> list[str]:
        """The tools that the document names, each once, in order."""
        names: list[str] = []
        for leaf in self.all_leaves():
            if isinstance(leaf.config, ToolConfig):
                names.append(leaf.config.tool_name)
            elif isinstance(leaf.config, AgentConfig):
                names.extend(leaf.config.tools)
        return list(dict.fromkeys(names))

    def models(self) -> list[str]:
        """The models that nodes are pinned to, each once, in order."""
        configs = (leaf.config for leaf in self.all_leaves())
        named = [config.model for config in configs if isinstance(config, LlmConfig) and config.model is not None]
        return list(dict.fromkeys(named))

    def approvers(self) -> list[str]:
        """Who may decide on an approval, each once, in order; empty where everyone may."""
        names: list[str] = []
        for leaf in self.all_leaves():
            if isinstance(leaf.config, ApprovalConfig):
                names.extend(
                    [*leaf.config.approvers, *(name for step in leaf.config.escalate for name in step.approvers)]
                )
        return list(dict.fromkeys(names))

    def workflow_references(self) -> list[tuple[str, int | None]]:
        """Name and version of the registered workflows that the document names, each once, in order."""
        configs = (leaf.config for leaf in self.all_leaves())
        named = [(config.name, config.version) for config in configs if isinstance(config, WorkflowConfig)]
        return list(dict.fromkeys((name, version) for name, version in named if name is not None))

    def all_leaves(self) -> Iterator[LeafForm]:
        """Everything that any node does, those inside nodes included."""
        for node in self.nodes:
            for leaf in node.leaves():
                yield leaf
                if leaf.inner is not None:
                    yield from leaf.inner.all_leaves()


def read_spec(document: Document) -> DagSpec:
    """The document as a spec; raises SpecInvalid with every part that has not the right form."""
    spec, problems = read_parts(document)
    if problems:
        raise SpecInvalid(in_order(problems))
    return spec


def read_parts(document: Document, *, depth: int = 0) -> tuple[DagSpec, list[SpecProblem]]:
    """As much of the document as has the right form, and what has not: the rest can be checked all the same."""
    problems = list(document.problems)
    data, below_dag = _flatten(document, problems)
    fields = _read_fields(data, document, problems, below_dag)
    nodes: list[NodeSpec] = []
    places: list[PathSteps] = []
    broken: set[str] = set()
    for part, is_final in (("nodes", False), ("finally", True)):
        listed = data.get(part)
        for position, node in enumerate(listed[:MAX_NODES] if isinstance(listed, list) else []):
            place = (*_part_path(part, below_dag), position)
            found = _NodeReader(document, problems, place, depth).read(node, is_final=is_final)
            if found is not None:
                nodes.append(found)
                places.append(place)
            elif isinstance(node, dict) and isinstance(node.get("id"), str):
                broken.add(node["id"])
    parts = {
        "nodes": nodes,
        "places": tuple(places),
        "broken_ids": frozenset(broken),
        "edges_are_whole": bool(fields.edges) or not data.get("edges"),
        "below_dag": below_dag,
    }
    return DagSpec.model_construct(**{**dict(fields), **parts}), problems


def _read_fields(
    data: dict[str, Any], document: Document, problems: list[SpecProblem], below_dag: frozenset[str]
) -> _DocumentFields:
    """What stands at the top; parts of the wrong form are reported, and read as if they were not there."""
    found = len(problems)
    fields: _DocumentFields | None = read_form(_DocumentFields, data, (), document, problems, below_dag=below_dag)
    if fields is not None:
        return fields
    wrong = {problem.path.removeprefix("$.dag.").removeprefix("$.") for problem in problems[found:]}
    sound = {
        part: value
        for part, value in data.items()
        if part in _PARTS and not any(path == part or path.startswith((f"{part}.", f"{part}[")) for path in wrong)
    }
    return _DocumentFields.model_construct(**{"name": "", **_validated_parts(sound)})


def _validated_parts(sound: dict[str, Any]) -> dict[str, Any]:
    """Each part as the model would have it, had the others been right."""
    stand_in = {"name": "stand_in", "nodes": [{}]}
    fields = _DocumentFields.model_validate({**stand_in, **{k: v for k, v in sound.items() if k != "nodes"}})
    return {name: getattr(fields, name) for part, name in _PARTS.items() if part in sound}


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


class _NodeReader:
    """Reads one node, and what it is made of."""

    def __init__(self, document: Document, problems: list[SpecProblem], path: PathSteps, depth: int) -> None:
        self._document, self._problems, self._path, self._depth = document, problems, path, depth

    def read(self, data: Any, *, is_final: bool) -> NodeSpec | None:
        """The node; None when any part of it has not the right form."""
        found = len(self._problems)
        fields: _NodeFields | None = read_form(_NodeFields, data, self._path, self._document, self._problems)
        kind = data.get("type") if isinstance(data, dict) else None
        config = data.get("config") if isinstance(data, dict) else None
        if not isinstance(kind, str) or kind not in NODE_CONFIGS or not isinstance(config, dict):
            return None
        parts = self._parts(kind, config, fields)
        if fields is not None and fields.compensate is not None:
            parts["taking_back"] = self._body(fields.compensate, ("compensate",), fields)
        if len(self._problems) > found:
            return None
        return NodeSpec.model_construct(**{**dict(fields or ()), **parts, "is_final": is_final})

    def _parts(self, kind: str, config: dict[str, Any], fields: _NodeFields | None) -> dict[str, Any]:
        """What a node of the kind is made of; what has not the right form is left out, and told."""
        settings = read_form(NODE_CONFIGS[kind], config, (*self._path, "config"), self._document, self._problems)
        parts: dict[str, Any] = {"settings": settings, "leaf": None, "branches": {}, "taking_back": None}
        if isinstance(settings, RaceConfig):
            for name, branch in settings.branches.items():
                parts["branches"][name] = self._body(branch, ("config", "branches", name), fields)
        elif isinstance(settings, MapConfig | ReduceConfig | LoopConfig):
            parts["leaf"] = self._body(settings.body, ("config", "body"), fields)
        elif settings is not None:
            parts["leaf"] = self._leaf(kind, settings, ("config",))
        return parts

    def _body(self, body: BodySpec | CompensationSpec, place: PathSteps, fields: _NodeFields | None) -> LeafForm | None:
        if body.type in BODY_CONFIGS:
            path = (*self._path, *place, "config")
            config = read_form(BODY_CONFIGS[body.type], body.config, path, self._document, self._problems)
            form = self._leaf(body.type, config, (*place, "config")) if config is not None else None
        else:
            form = self._node_as_body(body, place, fields)
        if form is None or not isinstance(body, BranchSpec | CompensationSpec):
            return form
        return replace(form, retry=body.retry, timeout=body.timeout, after_seconds=getattr(body, "after", None) or 0.0)

    def _node_as_body(
        self, body: BodySpec | CompensationSpec, place: PathSteps, fields: _NodeFields | None
    ) -> LeafForm | None:
        """A node for a body: the only one of a run below, with the name and the options of the node around it."""
        path = (*self._path, *place)
        if self._is_too_deep(path):
            return None
        reader = _NodeReader(self._document.part(path, {}), self._problems, (), self._depth + 1)
        parts = reader._parts(body.type, body.config, fields)
        if fields is None:
            return None
        own = {name: value for name in ("retry", "timeout") if (value := getattr(body, name, None)) is not None}
        around = {**dict(fields), "type": body.type, "config": body.config, "depends": [], "when": None}
        around["id"] = f"{fields.id}_body" if fields.id in _NAMES_IN_LOOPS else fields.id
        node = NodeSpec.model_construct(**{**around, "on_error": "fail", "compensate": None, **own, **parts})
        outputs = {BODY_OUTPUT: f"{node.id}.output"}
        return LeafForm(
            type="workflow",
            config=WorkflowConfig(nodes=[{"id": node.id, "type": body.type, "config": body.config}], outputs=outputs),
            place=place,
            inner=DagSpec.model_construct(name="inline", nodes=[node], places=((),), outputs=outputs),
            is_body=True,
        )

    def _leaf(self, kind: str, config: LeafConfig, place: PathSteps) -> LeafForm:
        inner = None
        if isinstance(config, WorkflowConfig) and config.nodes is not None:
            inner = self._inner(config, (*self._path, *place))
        return LeafForm(type=kind, config=config, place=place, inner=inner)

    def _inner(self, config: WorkflowConfig, path: PathSteps) -> DagSpec | None:
        if self._is_too_deep(path):
            return None
        data = {"name": "inline", "nodes": config.nodes, "edges": config.edges, "outputs": config.outputs}
        spec, problems = read_parts(self._document.part(path, data), depth=self._depth + 1)
        self._problems.extend(problems)
        return spec

    def _is_too_deep(self, path: PathSteps) -> bool:
        if self._depth < MAX_NESTED_WORKFLOWS:
            return False
        message = f"nodes stand in nodes here more than {MAX_NESTED_WORKFLOWS} deep; register some as workflows by name"
        self._problems.append(self._document.problem("nested_too_deep", path, message))
        return True
