"""What a run below gets whose one node is the body of another: everything that the node reads of what is around it."""

from dataclasses import replace

from runs.expressions import Reference
from runs.plan import Binding
from workflows.dag_bindings import BindingReader, Scope
from workflows.dag_document import Document, PathSteps
from workflows.dag_references import Text
from workflows.errors import SpecProblem
from workflows.schema_types import Schema


class BodyInputs:
    """Gathers the inputs, under the names that they have outside: expressions of the node stay as they are."""

    def __init__(self, document: Document, reader: BindingReader, scope: Scope, path: PathSteps) -> None:
        self._document, self._reader, self._scope, self._path = document, reader, scope, path
        #: What is wrong with what the node reads, besides what the reader finds.
        self.problems: list[SpecProblem] = []
        self._bindings: dict[str, Binding] = {}
        self._types: dict[str, Schema | None] = {}

    @property
    def bindings(self) -> dict[str, Binding]:
        """The inputs by their names."""
        return self._bindings

    @property
    def schema(self) -> Schema:
        """What is known of the inputs."""
        return {
            "type": "object",
            "properties": {name: known or {} for name, known in self._types.items()},
            "required": [name for name, binding in self._bindings.items() if binding.kind != "given"],
            "additionalProperties": False,
        }

    def read(self, text: Text) -> None:
        """Checks a text of the node where it stands, and adds what it reads."""
        path = (*self._path, *text.place)
        inside = replace(self._scope, local={**self._scope.local, **dict.fromkeys(text.own_names)})
        self._reader.binding(text.source, inside, path, texts_are_expressions=text.is_expression)
        for reference in text.references():
            self._add(reference, path)

    def _add(self, reference: Reference, path: PathSteps) -> None:
        root, steps = reference.root, reference.path
        if root in self._scope.local:
            self._give(root, Binding(kind="expression", source=root), Reference(root=root, path=()), path)
        elif root in self._scope.nodes:
            self._give_node(root, steps[:1], path)
        elif root != "inputs" or steps:
            name = steps[0] if root == "inputs" else root
            known = Reference(root="inputs", path=(name,))
            self._give(name, Binding(kind="given", source=f"inputs.{name}"), known, path)
        else:
            message = (
                "the body is a run below, which gets what it names: write inputs.NAME for each input that it needs"
            )
            self.problems.append(self._document.problem("unusable_reference", path, message))

    def _give_node(self, name: str, field: tuple[str, ...], path: PathSteps) -> None:
        """What is read of a node besides what has been read of it before."""
        known = self._bindings.get(name)
        members = known.members if known is not None and known.shape is not None else {}
        read = {part: Binding(kind="given", source=f"{name}.{part}") for part in field}
        whole = Binding(kind="literal", shape="mapping", members={**members, **read})
        if known is None or known.shape is not None:
            self._bindings.pop(name, None)
        self._give(name, whole, None, path)
        fields = {part: self._type_of(Reference(root=name, path=(part,))) for part in whole.members}
        self._types[name] = {"type": "object", "properties": fields, "additionalProperties": False}

    def _give(self, name: str, binding: Binding, known: Reference | None, path: PathSteps) -> None:
        if self._bindings.setdefault(name, binding) != binding:
            message = f"{name!r} is more than one thing around this body, which is a run below: rename one of them"
            self.problems.append(self._document.problem("unusable_reference", path, message))
        if known is not None:
            self._types[name] = self._type_of(known)

    def _type_of(self, reference: Reference) -> Schema:
        return self._reader.schema_of(reference, self._scope) or {}
