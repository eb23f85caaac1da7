"""Inputs become plain data before a template sees them, and plain data becomes text in one way.

Copies are made of exact `dict`, `list`, `str`, `int`, `float`, `bool` and `None`: a subclass with methods of
its own (`Markup`, a model, a lazy mapping) never reaches the template engine.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from jinja2.exceptions import TemplateRuntimeError
from jinja2.runtime import Undefined

from agentflow.digest import Json
from promptops.input_schema import json_path
from promptops.models import InputProblem
from promptops.rendering.render_limits import (
    MAX_INPUT_CHARACTERS,
    MAX_INPUT_DEPTH,
    MAX_INPUT_VALUES,
    MAX_NUMBER_BITS,
    LimitReached,
)

_UNFIT_NUMBER = f"is not finite, or has more than {MAX_NUMBER_BITS:,} bits"


class InputsNotPlain(Exception):
    """The inputs hold what JSON cannot say; the renderer names the prompt."""

    def __init__(self, problem: InputProblem) -> None:
        self.problem = problem
        super().__init__(f"{problem.path} {problem.reason}")


def plain_inputs(inputs: Mapping[str, Json]) -> dict[str, Json]:
    """A deep copy of `inputs` as plain data.

    Raises InputsNotPlain for what JSON cannot say and LimitReached for what is too large.
    """
    return _Copier().mapping(inputs, ())


def text_of(value: object) -> str:
    """How a value reads in a prompt: text as it is, everything else as JSON.

    Raises UndefinedError for a missing value, and TemplateRuntimeError for null and for what is no data.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Undefined):
        # A strict undefined value raises with its own name.
        return str(value)
    if value is None:
        raise TemplateRuntimeError("a null has no text; handle it by `default` or `if`")
    return json_of(value)


def json_of(value: object, *, indent: int | None = None) -> str:
    """`value` as JSON, in the order of its keys and with its letters as they are."""
    if isinstance(value, Undefined):
        return str(value)
    if not isinstance(value, str | int | float | list | tuple | dict | None):
        raise TemplateRuntimeError("only data can be written: text, numbers, true, false, lists and mappings")
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def is_number_fit(value: float) -> bool:
    """Whether the number is finite and not beyond 1,000 bits."""
    return value.bit_length() <= MAX_NUMBER_BITS if isinstance(value, int) else math.isfinite(value)


def is_storable(text: str) -> bool:
    """Whether `text` can be encoded: no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Copier:
    """Walks the inputs once, counting."""

    def __init__(self) -> None:
        self._values_left = MAX_INPUT_VALUES
        self._characters_left = MAX_INPUT_CHARACTERS

    def mapping(self, value: Mapping[Any, Json], path: tuple[str | int, ...]) -> dict[str, Json]:
        self._check_depth(path)
        copy: dict[str, Json] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _unfit(path, "has a key that is not text")
            copy[self._text(key, path)] = self._copy(item, (*path, key))
        return copy

    def _copy(self, value: Json, path: tuple[str | int, ...]) -> Json:
        self._values_left -= 1
        if self._values_left < 0:
            raise LimitReached(limit="values in the inputs", maximum=MAX_INPUT_VALUES)
        match value:
            case str():
                return self._text(value, path)
            case None | bool():
                return value
            case int() | float():
                if not is_number_fit(value):
                    raise _unfit(path, _UNFIT_NUMBER)
                return int(value) if isinstance(value, int) else float(value)
            case Mapping():
                return self.mapping(value, path)
            case list() | tuple():
                self._check_depth(path)
                return [self._copy(item, (*path, index)) for index, item in enumerate(value)]
            case _:
                raise _unfit(path, "is not text, a number, true, false, null, a list or an object")

    def _text(self, value: str, path: tuple[str | int, ...]) -> str:
        self._characters_left -= len(value)
        if self._characters_left < 0:
            raise LimitReached(limit="characters in the inputs", maximum=MAX_INPUT_CHARACTERS)
        if not is_storable(value):
            raise _unfit(path, "holds half of a surrogate pair, which is not text")
        return value if type(value) is str else str.__str__(value)

    @staticmethod
    def _check_depth(path: tuple[str | int, ...]) -> None:
        if len(path) >= MAX_INPUT_DEPTH:
            raise LimitReached(limit="levels of nesting in the inputs", maximum=MAX_INPUT_DEPTH)


def _unfit(path: tuple[str | int, ...], reason: str) -> InputsNotPlain:
    return InputsNotPlain(InputProblem(path=json_path(path), reason=reason))
