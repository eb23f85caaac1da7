"""The one renderer: inputs are checked, the compiled template runs in its sandbox, messages come out."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from jinja2.exceptions import TemplateError

from agentflow.digest import Json
from promptops.errors import PromptInputInvalid, RenderFailed, RenderLimitExceeded
from promptops.input_schema import InputSchema
from promptops.models import PromptVersion, RenderedMessage
from promptops.rendering.plain_data import InputsNotPlain, plain_inputs
from promptops.rendering.render_limits import LimitReached
from promptops.rendering.sandbox import PromptEnvironment
from promptops.rendering.template_compiler import CompiledTemplate, compile_template

#: More inputs than these are looked through in a thread.
_QUICK_INPUTS, _QUICK_CHARACTERS = 64, 64 * 1024

#: What operators on plain data can raise; their messages may quote a value, so only their kind is told.
_OPERATOR_ERRORS = (TypeError, ValueError, ArithmeticError, LookupError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadyPrompt:
    template: CompiledTemplate
    schema: InputSchema | None


class PromptRenderer:
    """Renders prompts, keeping the latest ones compiled. Safe to share between threads.

    Rendering never waits; a costly template can take seconds of processor time before it is stopped.
    """

    def __init__(self, *, cache_size: int = 256) -> None:
        self._environment = PromptEnvironment()
        self._cache_size = cache_size
        self._ready: OrderedDict[str, _ReadyPrompt] = OrderedDict()
        self._lock = threading.Lock()

    def render(self, prompt: PromptVersion, inputs: Mapping[str, Json]) -> tuple[RenderedMessage, ...]:
        """The messages that `prompt` gives for `inputs`, at least one.

        Raises PromptInputInvalid, RenderFailed or RenderLimitExceeded; and TemplateInvalid or InputSchemaInvalid for
        a version that was stored without being checked.
        """
        ready = self._prepare(prompt)
        try:
            values = plain_inputs(inputs)
            problems = ready.schema.problems(values) if ready.schema else ()
            if problems:
                raise PromptInputInvalid(prompt=prompt.reference, problems=problems)
            messages = _run(prompt, ready.template, values)
        except InputsNotPlain as error:
            raise PromptInputInvalid(prompt=prompt.reference, problems=[error.problem]) from error
        except LimitReached as error:
            raise RenderLimitExceeded(prompt=prompt.reference, limit=error.limit, maximum=error.maximum) from error
        if not messages:
            raise RenderFailed(prompt=prompt.reference, line=None, reason="no message came out; check its conditions")
        return messages

    def is_quick(self, prompt: PromptVersion, inputs: Mapping[str, Json]) -> bool:
        """Whether `render` takes a few milliseconds at the very most, and usually less than going to a thread.

        So it is for a prompt that is compiled already and only places a few short values in its text.
        """
        with self._lock:
            ready = self._ready.get(prompt.digest)
        if ready is None or not ready.template.is_plain or not (ready.schema is None or ready.schema.is_flat):
            return False
        if len(inputs) > _QUICK_INPUTS:
            return False
        characters = sum(map(len, inputs))
        for value in inputs.values():
            if isinstance(value, str):
                characters += len(value)
            elif value is not None and not isinstance(value, bool | int | float):
                return False
        return characters <= _QUICK_CHARACTERS

    def _prepare(self, prompt: PromptVersion) -> _ReadyPrompt:
        with self._lock:
            ready = self._ready.get(prompt.digest)
            if ready is not None:
                self._ready.move_to_end(prompt.digest)
                return ready
        ready = _ReadyPrompt(
            template=compile_template(prompt.template, self._environment),
            schema=None if prompt.input_schema is None else InputSchema(prompt.input_schema),
        )
        with self._lock:
            self._ready[prompt.digest] = ready
            while len(self._ready) > self._cache_size:
                self._ready.popitem(last=False)
        return ready


def _run(prompt: PromptVersion, template: CompiledTemplate, values: Mapping[str, Json]) -> tuple[RenderedMessage, ...]:
    try:
        return template.run(values)
    except LimitReached:
        raise
    except TemplateError as error:
        line, reason = template.line_of(error.__traceback__), error.message or "it raised an error without a message"
        raise RenderFailed(prompt=prompt.reference, line=line, reason=reason) from error
    except _OPERATOR_ERRORS as error:
        line, reason = (
            template.line_of(error.__traceback__),
            f"an operation fails on its values ({type(error).__name__})",
        )
        raise RenderFailed(prompt=prompt.reference, line=line, reason=reason) from error
