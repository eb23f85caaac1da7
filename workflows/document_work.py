"""What compiling does with a document's text alone: functions that can run in a process of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from agentflow.digest import json_digest
from runs.plan import EncodedPlan, decode_plan, encode_plan
from runs.plan_outline import PlanOutline, outline_of
from runs.signatures import Catalog
from workflows.dag_compiler import compile_dag
from workflows.dag_document import Document, parse_document
from workflows.dag_spec import read_parts
from workflows.prompt_signatures import StoredPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentNames:
    """What a document names, to be looked up before it is compiled."""

    workflow: str
    tools: tuple[str, ...]
    prompts: tuple[str, ...]
    workflows: tuple[tuple[str, int | None], ...]
    #: Whether it names people who decide, which are keys of the organisation.
    has_approvers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedContent:
    """What an organisation has of what a document names, as it is stored: reading it is part of compiling."""

    prompts: Mapping[str, StoredPrompt]
    #: Registered workflows by name and version, None for the latest.
    plans: Mapping[tuple[str, int | None], EncodedPlan]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledDocument:
    """A plan as it is stored, what is to be known of it, and the digest of the data that it was compiled from."""

    plan: EncodedPlan
    outline: PlanOutline
    digest: str


def read_names(text: str) -> DocumentNames:
    """What the document names; raises SpecUnreadable or SpecInvalid."""
    spec, _ = read_parts(_parsed(text))
    return DocumentNames(
        workflow=spec.name,
        tools=tuple(spec.tool_names()),
        prompts=tuple(spec.prompt_references()),
        workflows=tuple(spec.workflow_references()),
        has_approvers=bool(spec.approvers()),
    )


def compile_text(
    text: str,
    catalog: Catalog,
    is_registered: bool = False,
    named: NamedContent | None = None,
) -> CompiledDocument:
    """The document's plan; what is `named` comes into the catalog. Raises SpecUnreadable or SpecInvalid."""
    document = _parsed(text)
    if named is not None:
        catalog = replace(
            catalog,
            prompts={reference: prompt.signature(reference) for reference, prompt in named.prompts.items()},
            workflows={reference: decode_plan(*plan) for reference, plan in named.plans.items()},
        )
    plan = compile_dag(document, catalog, is_registered=is_registered)
    return CompiledDocument(plan=encode_plan(plan), outline=outline_of(plan), digest=json_digest(document.data))


@lru_cache(maxsize=4)
def _parsed(text: str) -> Document:
    """The document; both of the above ask for it, the one right after the other."""
    return parse_document(text)
