"""From a template's text to a checked program, or to the line that is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from jinja2 import Template, nodes
from jinja2.exceptions import TemplateSyntaxError

from agentflow.digest import Json
from promptops.errors import TemplateInvalid
from promptops.models import RenderedMessage, TemplateFacts
from promptops.rendering.code_generation import VariableCollector
from promptops.rendering.plain_data import is_storable
from promptops.rendering.render_limits import MAX_TEMPLATE_BYTES
from promptops.rendering.sandbox import LOOP_METER, PromptEnvironment, RenderContext
from promptops.rendering.template_rules import (
    check_syntax,
    give_messages,
    lines_of_variables,
    meter_loops,
    names_always_looked_up,
    names_set_in_branches,
    only_places_values,
)

#: The file name of generated code: by it a traceback's frames are told from ours.
_CODE_FILE = "<prompt template>"

#: What the parser and Python's compiler die of when a template is nested without measure or holds an absurd literal.
_TOO_COMPLEX = (RecursionError, MemoryError, OverflowError, SyntaxError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledTemplate:
    """A template ready to run any number of times."""

    environment: PromptEnvironment
    program: Template
    facts: TemplateFacts
    #: Whether it only puts a few values into text: neither loops, nor filters, nor arithmetic.
    is_plain: bool

    def run(self, inputs: Mapping[str, Json]) -> tuple[RenderedMessage, ...]:
        """The messages for `inputs`, which must be plain data; raises what Jinja and Python raise."""
        context = RenderContext(self.environment, dict(inputs))
        for _ in self.program.root_render_func(context):
            raise AssertionError("generated code writes into the transcript and yields nothing")
        return context.transcript.messages

    def line_of(self, traceback: TracebackType | None) -> int | None:
        """The template's line in which an error of `run` was raised."""
        line = None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == _CODE_FILE:
                line = self.program.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


def check_template(template: str) -> TemplateFacts:
    """What can be known of a template without rendering it.

    Raises TemplateInvalid, with the line, for anything that could not be rendered with any inputs.
    """
    return compile_template(template, PromptEnvironment()).facts


def compile_template(source: str, environment: PromptEnvironment) -> CompiledTemplate:
    """Parses, checks and compiles; raises TemplateInvalid with the line."""
    _check_source(source)
    try:
        return _compile(source, environment)
    except TemplateSyntaxError as error:
        raise TemplateInvalid(line=error.lineno, reason=error.message or "the syntax is wrong") from error
    except _TOO_COMPLEX as error:
        raise TemplateInvalid(line=1, reason="it is nested too deep, or a literal in it is too large") from error


def _check_source(source: str) -> None:
    if not source.strip():
        raise TemplateInvalid(line=1, reason="it is empty")
    size = len(source.encode(errors="surrogatepass"))
    if size > MAX_TEMPLATE_BYTES:
        raise TemplateInvalid(line=1, reason=f"it has {size:,} bytes of {MAX_TEMPLATE_BYTES:,} allowed")
    for number, line in enumerate(source.split("\n"), start=1):
        if "\x00" in line or not is_storable(line):
            raise TemplateInvalid(line=number, reason="it holds a character that cannot be stored")


def _compile(source: str, environment: PromptEnvironment) -> CompiledTemplate:
    tree = environment.parse(source)
    check_syntax(tree)
    give_messages(tree)
    facts, is_plain = _facts_of(tree, environment), only_places_values(tree)
    meter_loops(tree, meter=LOOP_METER)
    code = environment.compile(tree, filename=_CODE_FILE)
    program = Template.from_code(environment, code, globals={})
    return CompiledTemplate(environment=environment, program=program, facts=facts, is_plain=is_plain)


def _facts_of(tree: nodes.Template, environment: PromptEnvironment) -> TemplateFacts:
    collector = VariableCollector(environment, None, None, optimized=False)
    collector.visit(tree)
    # Jinja takes a name that every branch of an `if` sets for one that it may have to look up.
    lines = lines_of_variables(tree, collector.variables - names_set_in_branches(tree))
    needed = names_always_looked_up(tree).intersection(lines)
    return TemplateFacts(variables=frozenset(lines), variable_lines=lines, needed=needed)
