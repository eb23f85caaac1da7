"""Parses CEL by precedence (langdef.md, "Syntax"), names resolved, unknown functions refused.

Raises SyntaxFault, whose reason says what stands where.
"""

from collections.abc import Iterable

from agentflow.linear_pattern import PatternRefused, linear_pattern
from runs.cel.function import Function
from runs.cel.functions import FUNCTIONS, NAMESPACES, unknown_function
from runs.cel.syntax import (
    Call,
    Chain,
    Choice,
    Field,
    Has,
    Index,
    Junction,
    ListOf,
    Literal,
    Macro,
    MapOf,
    Member,
    Name,
    Negative,
    Node,
    Not,
)
from runs.cel.tokens import INT64_MAX, SyntaxFault, Token, tokenise

#: Brackets in brackets.
MAX_DEPTH = 40
#: Macro → how many arguments it takes, its variable included.
MACROS: dict[str, tuple[int, ...]] = {
    "all": (2,),
    "exists": (2,),
    "exists_one": (2,),
    "existsOne": (2,),
    "filter": (2,),
    "map": (2, 3),
    "sortBy": (2,),
}
RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    }
)
_CONSTANTS = {"true": True, "false": False, "null": None}
_RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


def parse(source: str) -> Node:
    """The tree of an expression; raises SyntaxFault."""
    return _Parser(tokenise(source)).whole()


class _Parser:
    """Reads tokens from left to right; each method leaves the position behind what it read."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0
        #: Macro variables around the place that is read: name → slot, the innermost last.
        self._bound: list[tuple[str, int]] = []
        #: Nodes read so far, and of them those in the parts of macros that have ended.
        self._nodes = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("an operator or the end")
        return node

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _takes(self, *marks: str) -> str | None:
        """The mark that stands here, if it is one of `marks`; it is read then."""
        token = self._token
        if token.kind in {"mark", "name"} and token.text in marks:
            self._at += 1
            return token.text
        return None

    def _expect(self, mark: str) -> None:
        if self._takes(mark) is None:
            raise self._unexpected(f"`{mark}`")

    def _unexpected(self, wanted: str) -> SyntaxFault:
        token = self._token
        if token.kind == "end":
            return SyntaxFault(f"it ends where {wanted} is needed")
        hint = "; write == to compare" if token.text == "=" else ""
        return SyntaxFault(f"`{token.text[:40]}` at character {token.column} stands where {wanted} is needed{hint}")

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SyntaxFault(f"brackets are nested more than {MAX_DEPTH} deep")
        cases: list[tuple[Node, Node]] = []
        node = self._junction()
        while self._takes("?"):
            value = self._junction()
            self._expect(":")
            cases.append((node, value))
            node = self._junction()
        self._depth -= 1
        return self._made(Choice(tuple(cases), node)) if cases else node

    def _junction(self) -> Node:
        either = [self._all_of()]
        while self._takes("||"):
            either.append(self._all_of())
        return either[0] if len(either) == 1 else self._made(Junction(decisive=True, operands=tuple(either)))

    def _all_of(self) -> Node:
        every = [self._chain(0)]
        while self._takes("&&"):
            every.append(self._chain(0))
        return every[0] if len(every) == 1 else self._made(Junction(decisive=False, operands=tuple(every)))

    def _chain(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        first = self._chain(level + 1)
        rest: list[tuple[str, Node]] = []
        while operator := self._takes(*_LEVELS[level]):
            rest.append((operator, self._chain(level + 1)))
        return self._made(Chain(first, tuple(rest))) if rest else first

    def _unary(self) -> Node:
        count = 0
        while self._takes("!"):
            count += 1
        if count:
            operand = self._made(Not(self._member()))
            return operand if count % 2 else self._made(Not(operand))
        while self._takes("-"):
            count += 1
        if not count:
            return self._member()
        if self._token.kind == "int" and count % 2:
            number = self._next()
            return self._steps(Literal(-_whole(number.value)))
        operand = self._made(Negative(self._member()))
        return operand if count % 2 else self._made(Negative(operand))

    def _member(self) -> Node:
        return self._steps(self._primary())

    def _steps(self, node: Node) -> Node:
        """What follows a value: fields, positions, and functions called on it."""
        steps: list[Field | Index] = []
        while True:
            if self._takes("["):
                steps.append(Index(self._expression()))
                self._expect("]")
            elif self._takes("."):
                name = self._name("a field's name")
                if self._token.text != "(" or self._token.kind != "mark":
                    steps.append(Field(name.text))
                    continue
                node, steps = self._member_call(self._way(node, steps), name), []
            else:
                return self._way(node, steps)

    def _way(self, node: Node, steps: list[Field | Index]) -> Node:
        return self._made(Member(node, tuple(steps))) if steps else node

    def _name(self, wanted: str) -> Token:
        if self._token.kind != "name" or self._token.text in {"in", *_CONSTANTS}:
            raise self._unexpected(wanted)
        return self._next()

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "literal":
            return self._made(Literal(self._next().value))
        if token.kind == "int":
            value = _whole(self._next().value)
            if value > INT64_MAX:
                raise SyntaxFault(f"the number {token.text} has more than 64 bits")
            return self._made(Literal(value))
        if self._takes("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._takes("["):
            return self._made(ListOf(tuple(self._listed("]"))))
        if self._takes("{"):
            return self._made(MapOf(tuple(self._entries())))
        self._takes(".")
        return self._named()

    def _named(self) -> Node:
        token = self._token
        if token.kind == "name" and token.text in _CONSTANTS:
            return self._made(Literal(_CONSTANTS[self._next().text]))
        name = self._name("a value")
        if name.text in RESERVED:
            raise SyntaxFault(f"`{name.text}` is a reserved word of CEL; write inputs.{name.text} for an input")
        if self._takes("("):
            return self._called(name, None)
        if self._token.text == "{" and self._token.kind == "mark":
            raise SyntaxFault(f"there is no message type `{name.text}`; a map is written {{'key': value}}")
        slot = next((slot for bound, slot in reversed(self._bound) if bound == name.text), None)
        return self._made(Name(name.text, slot))

    def _called(self, name: Token, target: Node | None) -> Node:
        """A function whose opening bracket has been read."""
        if name.text == "has" and target is None:
            return self._has()
        function = FUNCTIONS.get(name.text)
        if function is None or not function.may_be_called(on_value=target is not None):
            raise SyntaxFault(unknown_function(name.text, on_value=target is not None))
        given = () if target is None else (target,)
        return self._call(function, (*given, *self._listed(")")))

    def _call(self, function: Function, arguments: tuple[Node, ...]) -> Node:
        if not function.least <= len(arguments) <= function.most:
            raise SyntaxFault(f"{function.name}() is written {function.usage}")
        if function.name == "matches" and isinstance(pattern := arguments[1], Literal):
            try:
                linear_pattern(str(pattern.value))
            except PatternRefused as refusal:
                raise SyntaxFault(str(refusal)) from None
        return self._made(Call(function.name, arguments))

    def _member_call(self, target: Node, name: Token) -> Node:
        self._expect("(")
        if name.text in MACROS:
            return self._macro(target, name)
        if isinstance(target, Name) and target.slot is None and target.name in NAMESPACES:
            full = f"{target.name}.{name.text}"
            if full not in FUNCTIONS:
                raise SyntaxFault(unknown_function(full, on_value=False))
            return self._call(FUNCTIONS[full], tuple(self._listed(")")))
        return self._called(name, target)

    def _has(self) -> Node:
        node = self._expression()
        self._expect(")")
        match node:
            case Member(operand, (*before, Field(name))):
                return self._made(Has(Member(operand, tuple(before)) if before else operand, name))
        raise SyntaxFault("has() asks for a field: has(a.b)")

    def _macro(self, target: Node, name: Token) -> Node:
        variable = self._name("the variable of the macro")
        if variable.text in RESERVED:
            raise SyntaxFault(f"`{variable.text}` is a reserved word of CEL; choose another name for the variable")
        slot = len(self._bound)
        self._bound.append((variable.text, slot))
        before = self._nodes
        parts: list[Node] = []
        while self._takes(","):
            parts.append(self._expression())
        self._expect(")")
        weight, self._nodes = self._nodes - before, before
        self._bound.pop()
        if len(parts) + 1 not in MACROS[name.text]:
            raise SyntaxFault(f"{name.text}() is written list.{name.text}({variable.text}, …)")
        kind = "exists_one" if name.text == "existsOne" else name.text
        return self._made(Macro(kind, target, slot, tuple(parts), weight))

    def _listed(self, closing: str) -> Iterable[Node]:
        """Expressions with commas between, up to the closing bracket, which is read; a comma may be the last."""
        items: list[Node] = []
        while not self._takes(closing):
            items.append(self._expression())
            if not self._takes(","):
                self._expect(closing)
                break
        return items

    def _entries(self) -> Iterable[tuple[Node, Node]]:
        entries: list[tuple[Node, Node]] = []
        while not self._takes("}"):
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression()))
            if not self._takes(","):
                self._expect("}")
                break
        return entries

    def _made(self, node: Node) -> Node:
        self._nodes += 1
        return node


#: Operators of a binary chain by precedence, the weakest first.
_LEVELS: tuple[tuple[str, ...], ...] = (tuple(sorted(_RELATIONS)), ("+", "-"), ("*", "/", "%"))


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
