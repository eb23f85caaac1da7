"""From the syntax tree to Python that writes into a transcript instead of yielding text.

Jinja's generator joins literal text and values into one stream. Here each keeps its own call, so that provenance
and roles are never read back from text.
"""

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame

from promptops.rendering.message_tag import role_of


class TranscriptGenerator(CodeGenerator):
    """Generates calls of `promptops.rendering.sandbox.RenderContext`, which generated code knows as `context`."""

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 -- Jinja names it so
        for part in node.nodes:
            if isinstance(part, nodes.TemplateData):
                self.writeline(f"context.transcript.write_literal({part.data!r})", part)
            else:
                self.writeline("context.write_value(", part)
                self.visit(part, frame)
                self.write(f", {label_of(part)!r})")

    def visit_OverlayScope(self, node: nodes.OverlayScope, frame: Frame) -> None:  # noqa: N802 -- Jinja names it so
        self.writeline(f"context.transcript.open({role_of(node)!r})", node)
        inner = frame.inner()
        inner.symbols.analyze_node(node)
        self.enter_frame(inner)
        self.blockvisit(node.body, inner)
        self.leave_frame(inner)
        self.writeline("context.transcript.close()")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 -- Jinja names it so
        self.write("context.concatenate((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:  # noqa: N802 -- Jinja names it so
        self.write("context.compare(")
        self.visit(node.expr, frame)
        for operand in node.ops:
            self.write(f", {operand.op!r}, ")
            self.visit(operand.expr, frame)
        self.write(")")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 -- Jinja names it so
        if not isinstance(node.arg, nodes.Slice):
            super().visit_Getitem(node, frame)
            return
        self.write("context.take_slice(")
        self.visit(node.node, frame)
        for bound in (node.arg.start, node.arg.stop, node.arg.step):
            self.write(", ")
            if bound is None:
                self.write("None")
            else:
                self.visit(bound, frame)
        self.write(")")


class VariableCollector(TranscriptGenerator):
    """Walks as the generator does, writes nothing, and remembers what would be looked up in the inputs.

    After `jinja2.meta.TrackingCodeGenerator`, which does not know what a message is.
    """

    variables: frozenset[str] = frozenset()

    def write(self, x: str) -> None:
        """Writes nothing."""

    def enter_frame(self, frame: Frame) -> None:
        super().enter_frame(frame)
        looked_up = (name for action, name in frame.symbols.loads.values() if action == "resolve" and name)
        self.variables = self.variables.union(looked_up)


def label_of(node: nodes.Expr) -> str:
    """How an error names an expression: by the variable it begins with and the path that follows."""
    match node:
        case nodes.Name():
            return node.name
        case nodes.Getattr():
            return f"{label_of(node.node)}.{node.attr}"
        case nodes.Getitem():
            return f"{label_of(node.node)}[…]"
        case nodes.Filter() if node.node is not None:
            return label_of(node.node)
        case _:
            return "an expression"
