"""The sandbox: item access to plain data, listed filters and tests, bounded arithmetic, and nothing else.

The syntax tree is checked before (`template_rules`); what is denied there is denied here again at run time, so that
neither wall stands alone. Precedents for both: CVE-2023-36281 (LangChain), CVE-2024-56326 and CVE-2025-27516 (Jinja).
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.runtime import Context, LoopContext, StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context

from promptops.rendering.code_generation import TranscriptGenerator
from promptops.rendering.filters import FILTERS, Filter
from promptops.rendering.message_tag import MessageTag
from promptops.rendering.operation_costs import compare, length_of_slice, pay_for_filter, pay_for_reading
from promptops.rendering.plain_data import is_number_fit, text_of
from promptops.rendering.render_limits import MAX_NUMBER_BITS, NODES_PER_STEP, LimitReached, RenderBudget
from promptops.rendering.template_rules import TESTS
from promptops.rendering.transcript import Transcript

#: The filter that loops run through; no template can write this name.
LOOP_METER = "for each"

#: What a loop tells about itself.
_LOOP_FACTS = frozenset(["index", "index0", "first", "last", "length", "revindex", "revindex0"])


class RenderContext(Context):
    """One rendering: the inputs, the messages so far and what may still be spent."""

    def __init__(self, environment: "PromptEnvironment", inputs: dict[str, Any]) -> None:
        super().__init__(environment, inputs, None, {})
        self.transcript = Transcript()
        self.budget = RenderBudget()

    def write_value(self, value: object, label: str) -> None:
        """Writes what an expression gave; `label` names it in errors."""
        self.budget.spend()
        pay_for_reading(self.budget, value)
        if value is None:
            raise TemplateRuntimeError(f"{label!r} is null; handle it by `default` or `if`")
        self.transcript.write_input(text_of(value))

    def concatenate(self, values: Sequence[object]) -> str:
        """The `~` operator."""
        for value in values:
            pay_for_reading(self.budget, value)
        texts = [text_of(value) for value in values]
        self.budget.spend_on_characters(sum(map(len, texts)))
        return "".join(texts)

    def take_slice(self, value: object, start: Any, stop: Any, step: Any) -> object:
        """The `value[start:stop:step]` expression."""
        for part in (value, start, stop, step):
            require(part)
        if not isinstance(value, str | list | tuple):
            raise TemplateRuntimeError("only a text or a list has slices")
        bounds = slice(start, stop, step)
        self.budget.spend_on_characters(length_of_slice(value, bounds))
        return value[bounds]

    def compare(self, *chain: object) -> bool:
        """The comparison operators, between the values that they compare."""
        return compare(self.budget, *chain)

    def call(self, *_args: Any, **_kwargs: Any) -> Any:
        """Refuses."""
        raise SecurityError("prompts cannot call anything")


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Jinja with everything denied that is not listed in this package."""

    code_generator_class = TranscriptGenerator
    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%", "**"])

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            extensions=[MessageTag],
            # Constants are folded by running filters and operators while compiling, outside of any budget.
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=0,
        )
        self.globals.clear()
        self.policies.clear()
        self.filters = {name: _metered(name, function) for name, function in FILTERS.items()}
        self.filters[LOOP_METER] = _meter_loop
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}
        # Jinja's own take `%` of anything, which formats a text.
        self.tests |= {"even": _is_even, "odd": _is_odd}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: an item of a mapping, or a fact of a loop; never a Python attribute of data."""
        if type(obj) is dict:
            return obj[attribute] if attribute in obj else self.undefined(f"there is no {attribute!r} in a mapping")
        if type(obj) is LoopContext and attribute in _LOOP_FACTS:
            return super().getattr(obj, attribute)
        require(obj)
        return self.unsafe_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: an item of a mapping, a list or a text. The key is not quoted: it may be an input."""
        require(obj)
        require(argument)
        if type(obj) is dict and isinstance(argument, str):
            return obj[argument] if argument in obj else self.undefined("a key is not in its mapping")
        if isinstance(obj, list | tuple | str) and type(argument) is int:
            inside = -len(obj) <= argument < len(obj)
            return obj[argument] if inside else self.undefined("an index is past the end of its list or text")
        return self.undefined("a value has no such item", exc=SecurityError)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ARG002 -- Jinja's signature
        """Whether it is a fact of a loop; no attribute of anything else is safe."""
        return type(obj) is LoopContext and attr in _LOOP_FACTS

    def is_safe_callable(self, obj: Any) -> bool:  # noqa: ARG002 -- Jinja's signature
        """Nothing is."""
        return False

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:  # noqa: ARG002 -- Jinja's signature
        """A value that raises SecurityError when it is used."""
        return self.undefined(f"{attribute!r} is not an item of a mapping", exc=SecurityError)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic on numbers, and `+` on texts; bounded, so that neither memory nor time can be blown up."""
        require(left)
        require(right)
        budget = budget_of(context)
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            budget.spend_on_characters(len(left) + len(right))
            return left + right
        if operator == "**" or not _is_number(left) or not _is_number(right):
            raise TemplateRuntimeError(f"`{operator}` does not work on these values; `~` joins texts")
        budget.spend()
        result = self.binop_table[operator](left, right)
        if not is_number_fit(result):
            raise LimitReached(limit="bits in a number", maximum=MAX_NUMBER_BITS)
        return result


def budget_of(context: Context) -> RenderBudget:
    """The budget of the rendering that `context` belongs to."""
    if not isinstance(context, RenderContext):
        raise SecurityError("a template runs outside of its renderer")
    return context.budget


def require(value: object) -> None:
    """Raises UndefinedError for a value that is missing."""
    if isinstance(value, Undefined):
        # A strict undefined value raises with its own name.
        str(value)


def _is_even(value: object) -> bool:
    require(value)
    if not _is_number(value):
        raise TemplateRuntimeError("`even` and `odd` need a number")
    return value % 2 == 0


def _is_odd(value: object) -> bool:
    return not _is_even(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _metered(name: str, function: Filter) -> Filter:
    """The filter as templates call it: missing values are refused (but by `default`), and it is paid for.

    What it is given is paid for before it runs. What it gives is no longer than `MAX_TEXT_CHARACTERS`.
    """
    takes_missing = name == "default"

    @pass_context
    def metered(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not takes_missing:
            require(value)
        for argument in (*args, *kwargs.values()):
            require(argument)
        pay_for_filter(budget_of(context), name, (value, *args, *kwargs.values()))
        result = function(value, *args, **kwargs)
        budget_of(context).spend_on_characters(len(result) if isinstance(result, str | list) else 0)
        return result

    return metered


@pass_context
def _meter_loop(context: Context, value: Any, body_nodes: int) -> Sequence[Any]:
    """What a loop runs over, paid for before it runs: the items of a list, or the keys of a mapping.

    So are the syntax nodes in its body: items, tests, conditions and assignments take no steps by themselves.
    """
    require(value)
    items = list(value) if isinstance(value, Mapping) else value
    if not isinstance(items, list | tuple):
        raise TemplateRuntimeError("a loop needs a list or a mapping")
    budget_of(context).spend((len(items) + 1) * (1 + body_nodes // NODES_PER_STEP))
    return items
