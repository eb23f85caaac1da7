"""Checks a document without a server: against what is installed here, and prompts that lie in files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from activities.catalog import builtin_functions
from activities.mcp.tool_names import is_mcp_tool
from activities.tool_plugins import load_tools, signatures_of
from promptops.errors import InvalidPromptReference
from promptops.models import PromptDraft
from promptops.prompt_reference import parse_prompt_reference
from runs.plan import Plan
from runs.signatures import Catalog, StepSignature
from workflows.dag_compiler import compile_dag
from workflows.dag_document import Document
from workflows.dag_spec import DagSpec, read_parts
from workflows.prompt_signatures import prompt_signature


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineCheck:
    """What a document compiles to, and what only a server can say of it."""

    plan: Plan
    unchecked: tuple[str, ...]


def compile_offline(document: Document, drafts: Sequence[PromptDraft] = ()) -> OfflineCheck:
    """The plan of a document; raises SpecInvalid.

    `drafts` are the prompts that there are: the first one of a name is taken for its version 1.
    """
    spec, _ = read_parts(document)
    versions = _versions(drafts)
    prompts: dict[str, StepSignature] = {}
    problems: dict[str, str] = {}
    unknown: list[str] = []
    for reference in spec.prompt_references():
        try:
            draft = _draft_of(reference, versions)
        except InvalidPromptReference as error:
            problems[reference] = str(error)
            continue
        if draft is None:
            unknown.append(reference)
            prompts[reference] = _anything(reference)
        else:
            is_pinned = parse_prompt_reference(reference).version is not None
            prompts[reference] = prompt_signature(reference, draft.template, draft.input_schema, is_pinned=is_pinned)
    remote = [name for name in spec.tool_names() if is_mcp_tool(name)]
    catalog = Catalog(
        tools={**signatures_of(load_tools()), **{name: _anything(name) for name in remote}},
        functions=builtin_functions(),
        prompts=prompts,
        prompt_problems=problems,
        lists_workflows=False,
    )
    return OfflineCheck(plan=compile_dag(document, catalog), unchecked=tuple(_unchecked(spec, unknown, remote)))


def _unchecked(spec: DagSpec, prompts: Sequence[str], tools: Sequence[str]) -> list[str]:
    """What a server would have to be asked, in words."""
    workflows = [name if version is None else f"{name}@{version}" for name, version in spec.workflow_references()]
    named = {
        "prompts that are not in the files": prompts,
        "tools of MCP servers": tools,
        "registered workflows": workflows,
        "models that are offered": spec.models(),
        "approvers": spec.approvers(),
    }
    found = [f"{what} ({', '.join(names)})" for what, names in named.items() if names]
    if spec.prompt_references() and not spec.models():
        found.append("whether a model is offered for each quality")
    return found


def _versions(drafts: Sequence[PromptDraft]) -> Mapping[str, list[PromptDraft]]:
    """The versions of each prompt in order; the same content again is no version of its own."""
    found: dict[str, list[PromptDraft]] = {}
    for draft in drafts:
        known = found.setdefault(draft.name, [])
        if draft not in known:
            known.append(draft)
    return found


def _draft_of(reference: str, versions: Mapping[str, Sequence[PromptDraft]]) -> PromptDraft | None:
    parsed = parse_prompt_reference(reference)
    known = versions.get(parsed.name, ())
    number = parsed.version if parsed.version is not None else len(known)
    return known[number - 1] if 0 < number <= len(known) else None


def _anything(name: str) -> StepSignature:
    return StepSignature(name=name, description="", input_schema=None, output_schema=None)
