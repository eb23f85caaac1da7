"""What a template may be made of: an allow-list over its syntax tree, so that new syntax is refused until listed."""

import inspect
import math
from collections.abc import Iterable
from itertools import islice

from jinja2 import nodes

from promptops.errors import TemplateInvalid
from promptops.rendering.filters import FILTERS
from promptops.rendering.message_tag import message_node
from promptops.rendering.render_limits import MAX_TEMPLATE_NODES

#: The tests that may follow `is`, as Jinja defines them: none of them looks into an object.
TESTS = frozenset(
    [
        *("boolean", "defined", "even", "false", "float", "integer", "mapping"),
        *("none", "number", "odd", "sequence", "string", "true", "undefined"),
    ]
)

_MAX_DEPTH = 60

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Assign, nodes.With,
    nodes.OverlayScope, nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword,
    nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand,
    nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
    nodes.FloorDiv, nodes.Mod, nodes.Concat, nodes.CondExpr,
)  # fmt: skip

#: Nodes of a template that is rendered in some hundred microseconds, if it has no others than these.
_MAX_PLAIN_NODES = 200
_PLAIN: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.OverlayScope, nodes.Name, nodes.Const,
    nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Getattr, nodes.Getitem, nodes.Test, nodes.And, nodes.Or, nodes.Not,
)  # fmt: skip

#: How a person calls what is refused.
_REFUSED_NAMES: dict[type[nodes.Node], str] = {
    nodes.Call: "a call",
    nodes.CallBlock: "`call`",
    nodes.Macro: "`macro`",
    nodes.Include: "`include`",
    nodes.Import: "`import`",
    nodes.FromImport: "`from … import`",
    nodes.Extends: "`extends`",
    nodes.Block: "`block`",
    nodes.FilterBlock: "a `filter` block; put the filter behind a value",
    nodes.AssignBlock: "a `set` block; write `set name = value`",
    nodes.NSRef: "a namespace",
    nodes.Pow: "`**`",
    nodes.ScopedEvalContextModifier: "`autoescape`",
}

#: Jinja gives these a meaning of their own, or would.
_RESERVED_NAMES = frozenset(["self", "super", "caller", "varargs", "kwargs"])


def check_syntax(template: nodes.Template) -> None:
    """Raises TemplateInvalid for the first node that a prompt may not have."""
    count = 0
    pending: list[tuple[nodes.Node, int, bool]] = [(template, 0, False)]
    while pending:
        node, depth, in_message = pending.pop()
        count += 1
        if count > MAX_TEMPLATE_NODES:
            raise _refusal(node, f"it is too complex: more than {MAX_TEMPLATE_NODES:,} syntax nodes")
        if depth > _MAX_DEPTH:
            raise _refusal(node, f"it is nested more than {_MAX_DEPTH} levels deep")
        _check_node(node, in_message=in_message)
        inside = in_message or isinstance(node, nodes.OverlayScope)
        pending.extend((child, depth + 1, inside) for child in reversed(list(node.iter_child_nodes())))


def give_messages(template: nodes.Template) -> None:
    """Puts all text into messages: the tagged ones, or one user message when there is no tag.

    Raises TemplateInvalid for text or values beside tagged messages.
    """
    if template.find(nodes.OverlayScope) is None:
        template.body = [message_node("user", template.body, line=1)]
    else:
        template.body = _without_blanks(template.body)


def only_places_values(template: nodes.Template) -> bool:
    """Whether a template does no more than to choose a few values and put them into its text."""
    few = list(islice(template.find_all(nodes.Node), _MAX_PLAIN_NODES + 1))
    return len(few) <= _MAX_PLAIN_NODES and all(isinstance(node, _PLAIN) for node in few)


def meter_loops(template: nodes.Template, *, meter: str) -> None:
    """Sends what every loop runs over through the filter `meter`, with the number of syntax nodes that it repeats."""
    for loop, repeated in _repeated_nodes(template).items():
        counted = nodes.Const(repeated, lineno=loop.lineno)
        loop.iter = nodes.Filter(loop.iter, meter, [counted], [], None, None, lineno=loop.lineno)


def _repeated_nodes(template: nodes.Template) -> dict[nodes.For, int]:
    """For each loop, the nodes inside of it that no loop in it repeats."""
    counts: dict[nodes.For, int] = {}
    pending: list[tuple[nodes.Node, nodes.For | None]] = [(template, None)]
    while pending:
        node, loop = pending.pop()
        if loop is not None:
            counts[loop] += 1
        if isinstance(node, nodes.For):
            counts[node] = 0
        inside = node if isinstance(node, nodes.For) else loop
        pending.extend((child, inside) for child in node.iter_child_nodes())
    return counts


def lines_of_variables(template: nodes.Template, variables: Iterable[str]) -> dict[str, int]:
    """The first line on which each of `variables` is looked up."""
    lines: dict[str, int] = {}
    wanted = set(variables)
    for name in template.find_all(nodes.Name):
        if name.ctx == "load" and name.name in wanted:
            lines[name.name] = min(name.lineno, lines.get(name.name, name.lineno))
    return dict(sorted(lines.items()))


def names_set_in_branches(template: nodes.Template) -> frozenset[str]:
    """The names that `set` gives a value inside of an `if`."""
    assignments = (assign for branch in template.find_all(nodes.If) for assign in branch.find_all(nodes.Assign))
    names = (name for assign in assignments for name in assign.find_all(nodes.Name))
    return frozenset(name.name for name in names if name.ctx == "store")


def names_always_looked_up(template: nodes.Template) -> frozenset[str]:
    """The names that a rendering fails without, whatever its other inputs are."""
    found: set[str] = set()
    pending: list[nodes.Node] = [template]
    while pending:
        node = pending.pop()
        if isinstance(node, nodes.Name) and node.ctx == "load":
            found.add(node.name)
        pending.extend(_always_evaluated(node))
    return frozenset(found)


def _always_evaluated(node: nodes.Node) -> Iterable[nodes.Node]:
    """The parts of a node that are evaluated on every path through it."""
    match node:
        case nodes.If() | nodes.CondExpr():
            return [node.test]
        case nodes.For():
            return [node.iter]
        case nodes.And() | nodes.Or():
            return [node.left]
        case nodes.Compare():
            return [node.expr, node.ops[0]]
        case (
            nodes.Test(name="defined" | "undefined", node=nodes.Name())
            | nodes.Filter(name="default", node=nodes.Name())
        ):
            return getattr(node, "args", None) or []
        case _:
            return node.iter_child_nodes()


def _check_node(node: nodes.Node, *, in_message: bool) -> None:
    if not isinstance(node, _ALLOWED):
        name = _REFUSED_NAMES.get(type(node), f"`{type(node).__name__.lower()}`")
        raise _refusal(node, f"prompts cannot use {name}")
    match node:
        case nodes.Filter():
            _check_filter(node)
        case nodes.Test():
            _check_test(node)
        case nodes.Name() if node.name in _RESERVED_NAMES:
            raise _refusal(node, f"{node.name!r} is a reserved name; call the variable something else")
        case nodes.Getattr() if node.attr.startswith("__"):
            raise _refusal(node, f"the attribute {node.attr!r} is not data")
        case nodes.For() if node.recursive:
            raise _refusal(node, "loops cannot be recursive")
        case nodes.OverlayScope() if in_message:
            raise _refusal(node, "a message cannot stand inside another; close the first with `endmessage`")
        case nodes.Const() if isinstance(node.value, float) and not math.isfinite(node.value):
            raise _refusal(node, "a number is too large")
        case nodes.List() | nodes.Tuple() | nodes.Dict():
            _check_literal(node)


def _check_filter(node: nodes.Filter) -> None:
    function = FILTERS.get(node.name)
    if function is None:
        raise _refusal(node, f"there is no filter {node.name!r}; the filters are {', '.join(FILTERS)}")
    if node.node is None or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise _refusal(node, f"the filter {node.name!r} takes plain arguments only")
    try:
        inspect.signature(function).bind(None, *node.args, **{str(pair.key): pair.value for pair in node.kwargs})
    except TypeError as error:
        raise _refusal(node, f"the filter {node.name!r} does not take these arguments: {error}") from error


def _check_test(node: nodes.Test) -> None:
    if node.name not in TESTS:
        raise _refusal(node, f"there is no test {node.name!r}; the tests are {', '.join(sorted(TESTS))}")
    if node.args or node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise _refusal(node, f"the test {node.name!r} takes no arguments")


def _check_literal(node: nodes.List | nodes.Tuple | nodes.Dict) -> None:
    """Literals hold constants: built from variables they could grow without bound by naming themselves twice."""
    if isinstance(node, nodes.Tuple) and node.ctx != "load":
        return
    for child in node.iter_child_nodes():
        parts = [child.key, child.value] if isinstance(child, nodes.Pair) else [child]
        if not all(isinstance(part, nodes.Const | nodes.TemplateData) for part in parts):
            raise _refusal(node, "a list or mapping that is written out may hold constants only")


def _without_blanks(body: list[nodes.Node]) -> list[nodes.Node]:
    kept: list[nodes.Node] = []
    for node in body:
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                _check_blank(part)
            continue
        match node:
            case nodes.For():
                node.body, node.else_ = _without_blanks(node.body), _without_blanks(node.else_)
            case nodes.If():
                node.body, node.else_ = _without_blanks(node.body), _without_blanks(node.else_)
                for branch in node.elif_:
                    branch.body = _without_blanks(branch.body)
            case nodes.With():
                node.body = _without_blanks(node.body)
        kept.append(node)
    return kept


def _check_blank(part: nodes.Expr) -> None:
    if not isinstance(part, nodes.TemplateData):
        raise _refusal(part, "a value stands outside of the messages; move it into one")
    if part.data.strip():
        before = len(part.data) - len(part.data.lstrip())
        line = part.lineno + part.data[:before].count("\n")
        raise TemplateInvalid(line=line, reason="text stands outside of the messages; move it into one")


def _refusal(node: nodes.Node, reason: str) -> TemplateInvalid:
    return TemplateInvalid(line=node.lineno, reason=reason)
