"""The JSON types that an expression can give, from its form alone; None where that does not say."""

import re
from collections.abc import Iterator

#: String literals of CEL, raw ones and those in three quotes included.
_TEXT = re.compile(
    r"""[bBrR]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3})|[rR]"[^"\n]*"|[rR]'[^'\n]*'|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""",
    re.DOTALL,
)
_NUMBER = re.compile(r"-?\s*(?:\d+u?|\d*\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|0[xX][0-9a-fA-F]+u?)")
_CALL = re.compile(r"(?:(?P<receiver>.*)\.)?\s*(?P<name>[A-Za-z_]\w*)\s*\((?P<inside>.*)\)", re.DOTALL)
_COMPARISONS = ("==", "!=", "<=", ">=", "<", ">", "&&", "||", " in ")
_ARITHMETIC = "+-*/%"
_CLOSING = {"(": ")", "[": "]", "{": "}"}

_BOOLEAN, _TEXT_TYPE = frozenset({"boolean"}), frozenset({"string"})
_NUMERIC = frozenset({"integer", "number"})
#: What `+` and `-` give: a sum, texts joined, lists joined, an instant.
_SUM = _NUMERIC | {"string", "array"}
_OF_FUNCTION = {
    **dict.fromkeys(("bool", "has"), _BOOLEAN),
    **dict.fromkeys(("size", "int", "uint", "double"), _NUMERIC),
    "string": _TEXT_TYPE,
}
_OF_METHOD = {
    **dict.fromkeys(("contains", "startsWith", "endsWith", "matches", "all", "exists", "exists_one"), _BOOLEAN),
    "size": _NUMERIC,
    **dict.fromkeys(("map", "filter"), frozenset({"array"})),
}


def types_by_form(source: str) -> frozenset[str] | None:
    """The types of JSON that the expression can give; it parses as CEL."""
    return _types(_TEXT.sub(lambda text: '"'.ljust(len(text.group()) - 1, "_") + '"', source).strip())


def never_true(source: str, types: frozenset[str]) -> str:
    """What to do about a condition that can only give `types`."""
    return (
        f"{source.strip()!r} gives {' or '.join(sorted(types))}, never true or false: write what is to hold, "
        "such as size(a.output) > 0 or a.output == 'yes'"
    )


def _types(code: str) -> frozenset[str] | None:
    code = _without_brackets(code)
    branches = _branches(code)
    if branches is not None:
        then, otherwise = (_types(branch) for branch in branches)
        return None if then is None or otherwise is None else then | otherwise
    outside = "".join(character for _, character in _at_top(code))
    if any(operator in outside for operator in _COMPARISONS) or outside.startswith("!"):
        return _BOOLEAN
    if _NUMBER.fullmatch(code):
        return _NUMERIC
    operators = set(outside.lstrip("-")) & set(_ARITHMETIC)
    if operators:
        return _SUM if operators & {"+", "-"} else _NUMERIC
    return _of_primary(code)


def _of_primary(code: str) -> frozenset[str] | None:
    literal = {"true": _BOOLEAN, "false": _BOOLEAN, "null": frozenset({"null"})}.get(code)
    if literal is not None:
        return literal
    if code[:1] == '"' and code.count('"') == 2 and code.endswith('"'):
        return _TEXT_TYPE
    if code[:1] in {"[", "{"} and _closes_at(code) == len(code) - 1:
        return frozenset({"array" if code[0] == "[" else "object"})
    call = _CALL.fullmatch(code)
    # The last bracket belongs to another call, as in `f(a).g(b)[0]`, or to an earlier one.
    if call is None or _closes_at(code[call.start("inside") - 1 :]) != len(call["inside"]) + 1:
        return None
    return (_OF_FUNCTION if call["receiver"] is None else _OF_METHOD).get(call["name"])


def _at_top(code: str) -> Iterator[tuple[int, str]]:
    """The characters outside of brackets, with their places."""
    depth = 0
    for place, character in enumerate(code):
        if character in _CLOSING:
            depth += 1
        elif character in _CLOSING.values():
            depth -= 1
        elif depth == 0:
            yield place, character


def _branches(code: str) -> tuple[str, str] | None:
    """What stands for true and for false in `condition ? a : b`."""
    question, open_questions = None, 0
    for place, character in _at_top(code):
        if character == "?":
            open_questions += 1
            question = place if question is None else question
        elif character == ":" and question is not None:
            open_questions -= 1
            if open_questions == 0:
                return code[question + 1 : place], code[place + 1 :]
    return None


def _without_brackets(code: str) -> str:
    code = code.strip()
    while code.startswith("(") and _closes_at(code) == len(code) - 1:
        code = code[1:-1].strip()
    return code


def _closes_at(code: str) -> int:
    """Where the bracket that `code` begins with is closed."""
    depth = 0
    for place, character in enumerate(code):
        depth += (character in _CLOSING) - (character in _CLOSING.values())
        if depth == 0:
            return place
    return -1
