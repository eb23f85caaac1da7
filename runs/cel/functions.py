"""The functions of expressions, by name: CEL's own, and those of its extension libraries that JSON has a use for.

Sources: langdef.md ("List of Standard Definitions"), cel-go's `ext` (strings, math, lists, sets, encoders), and the
list library of Kubernetes (`sum`, `min`, `max`). There is no clock among them: an expression gives the same value
whenever it is evaluated.
"""

import difflib

from runs.cel import list_functions, number_functions, text_functions, time_functions
from runs.cel.function import Function

_ALL: tuple[Function, ...] = (
    *text_functions.FUNCTIONS,
    *number_functions.FUNCTIONS,
    *list_functions.FUNCTIONS,
    *time_functions.FUNCTIONS,
)
FUNCTIONS: dict[str, Function] = {function.name: function for function in _ALL}
#: `math` of `math.round(x)`.
NAMESPACES = frozenset(name.partition(".")[0] for name in FUNCTIONS if "." in name)
_IN_LOWER_CASE = {name.lower(): name for name in FUNCTIONS}
#: What people look for that has another name here, or that cannot be.
_ELSEWHERE = {
    "now": "expressions have no clock; pass the time as an input",
    "random": "expressions have no randomness; pass a value as an input",
    "len": "write size(x)",
    "length": "write size(x)",
    "lower": "write x.lowerAscii()",
    "upper": "write x.upperAscii()",
    "toLowerCase": "write x.lowerAscii()",
    "toUpperCase": "write x.upperAscii()",
    "strip": "write x.trim()",
    "abs": "write math.abs(x)",
    "round": "write math.round(x)",
    "floor": "write math.floor(x)",
    "ceil": "write math.ceil(x)",
    "float": "write double(x)",
    "str": "write string(x)",
    "any": "write list.exists(x, …)",
    "reduce": "write list.sum(), or use a code node",
    "default": "write has(a.b) ? a.b : 'otherwise'",
}


def unknown_function(name: str, *, on_value: bool) -> str:
    """Says that there is no such function, what may have been meant, and what there is."""
    called = f".{name}()" if on_value else f"{name}()"
    if name in FUNCTIONS:
        return f"{called} is written {FUNCTIONS[name].usage}"
    if name in _ELSEWHERE:
        return f"there is no function {called}: {_ELSEWHERE[name]}"
    near = difflib.get_close_matches(name[:40].lower(), _IN_LOWER_CASE, n=1, cutoff=0.7)
    meant = f": did you mean {FUNCTIONS[_IN_LOWER_CASE[near[0]]].usage}?" if near else ""
    return f"there is no function {called}{meant}; there are {', '.join(sorted(FUNCTIONS))}"
