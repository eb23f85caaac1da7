"""A prompt as a file for git: YAML with `name`, `template` and, if inputs are to be checked, `schema`.

name: document_analyzer
template: |
  Analyze: {{ content }}
schema:
  type: object
  properties: {content: {type: string}}
"""

from collections.abc import Mapping
from typing import Any

import yaml

from promptops.errors import PromptFileInvalid
from promptops.models import PromptDraft

MAX_FILE_BYTES = 1024 * 1024

_KEYS = ("name", "template", "schema")
_YAML = "tag:yaml.org,2002:"
_PLAIN_SCALARS = frozenset(f"{_YAML}{kind}" for kind in ("str", "int", "float", "bool", "null"))


def parse_prompt_file(text: str) -> PromptDraft:
    """Reads a prompt file; whether the template and the schema are sound is for the one who makes a version of it.

    Raises PromptFileInvalid, with the line where there is one.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_FILE_BYTES:
        raise PromptFileInvalid(line=None, reason=f"it has more than {MAX_FILE_BYTES:,} bytes")
    try:
        return _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "it is not YAML"
        raise PromptFileInvalid(line=None if mark is None else mark.line + 1, reason=reason) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise PromptFileInvalid(line=line, reason="it holds a character that YAML does not allow") from error
    except RecursionError as error:
        raise PromptFileInvalid(line=None, reason="it is nested too deep") from error


def _read(text: str) -> PromptDraft:
    loader = _NoAliasLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise PromptFileInvalid(line=1, reason="it must be a mapping with `name` and `template`")
        fields = loader.fields(root)
    finally:
        loader.dispose()
    return _draft(fields, lines={key.value: key.start_mark.line + 1 for key, _ in root.value})


def _draft(fields: Mapping[str, Any], *, lines: Mapping[str, int]) -> PromptDraft:
    for key in fields:
        if key not in _KEYS:
            raise PromptFileInvalid(line=lines[key], reason=f"{key!r} is not known; the keys are {', '.join(_KEYS)}")
    for key in ("name", "template"):
        if not isinstance(fields.get(key), str):
            raise PromptFileInvalid(line=lines.get(key), reason=f"`{key}` must be there, and be text")
    schema = fields.get("schema")
    if schema is not None and not isinstance(schema, dict):
        raise PromptFileInvalid(line=lines["schema"], reason="`schema` must be a mapping")
    return PromptDraft(name=fields["name"], template=fields["template"], input_schema=schema)


class _NoAliasLoader(yaml.SafeLoader):
    """Reads what JSON can say: no aliases (which can grow without bound), no dates, no keys but text."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # the stubs leave it untyped
            raise PromptFileInvalid(line=mark.line + 1, reason="aliases (`*name`) are not available; write it out")
        return super().compose_node(parent, index)

    def fields(self, node: yaml.MappingNode) -> dict[str, Any]:
        """The items of a mapping; every key is text and stands once."""
        items: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_YAML}str":
                raise PromptFileInvalid(line=line, reason="a key is not text; put it in quotes")
            if key.value in items:
                raise PromptFileInvalid(line=line, reason=f"{key.value!r} stands twice")
            items[key.value] = self._plain(value)
        return items

    def _plain(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_YAML}map":
            return self.fields(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_YAML}seq":
            return [self._plain(item) for item in node.value]
        if isinstance(node, yaml.ScalarNode) and node.tag in _PLAIN_SCALARS:
            return self._scalar(node)
        raise PromptFileInvalid(
            line=node.start_mark.line + 1, reason="a value is not one that JSON can say; put it in quotes"
        )

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            return self.construct_object(node)
        except ValueError as error:
            raise PromptFileInvalid(line=node.start_mark.line + 1, reason="a number cannot be read") from error
