"""What a node must give to a prompt, read from the prompt's template and its schema."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from agentflow.digest import Json
from promptops.errors import TemplateInvalid
from promptops.input_schema import listed_properties
from promptops.models import TemplateFacts
from promptops.rendering.template_compiler import check_template
from runs.signatures import StepSignature

#: What an llm node gives when its document asks for no schema.
TEXT_SCHEMA: Mapping[str, str] = {"type": "string"}
#: Reading a template takes longer by its places than by its length: a hundred take five milliseconds.
_WEIGHT_OF_A_BRACE = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrompt:
    """A prompt's version as it is stored: reading it may take long."""

    template: str
    #: JSON; None accepts any inputs.
    input_schema: bytes | None
    is_pinned: bool

    @property
    def weight(self) -> int:
        """As how many bytes of other content it counts."""
        size = len(self.template) + len(self.input_schema or b"")
        return size + _WEIGHT_OF_A_BRACE * self.template.count("{")

    def signature(self, reference: str) -> StepSignature:
        """As `prompt_signature`."""
        schema = json.loads(self.input_schema) if self.input_schema is not None else None
        return prompt_signature(reference, self.template, schema, is_pinned=self.is_pinned)


def prompt_signature(
    reference: str, template: str, schema: Mapping[str, Json] | None, *, is_pinned: bool
) -> StepSignature:
    """What a node must give to a prompt, by its schema and its template.

    Another version may come to serve a reference that is not pinned, so what that looks at is not known.
    """
    facts = _facts_of(template)
    listed = listed_properties(schema) if schema is not None else frozenset[str]()
    return StepSignature(
        name=reference,
        description=f"prompt {reference}",
        input_schema=schema,
        output_schema=TEXT_SCHEMA,
        needs=facts.needed,
        takes=facts.variables | listed if is_pinned and listed is not None else None,
    )


@lru_cache(maxsize=256)
def _facts_of(template: str) -> TemplateFacts:
    try:
        return check_template(template)
    except TemplateInvalid:
        # Stored under rules that have changed since: nothing is certain.
        return TemplateFacts(variables=frozenset(), variable_lines={}, needed=frozenset())
