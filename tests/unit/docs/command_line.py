"""Command lines as documents write them, read by the real tree of commands without being executed."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import click

from cli.main import agentctl

_CALL = re.compile(r"(?<![\w/.-])agentctl(?= [a-z-])([^\n]*)")
#: A command that stands in another: `KEY=$(agentctl …)`.
_SUBSTITUTED = re.compile(r"\$\(([^()]*)\)")


def commands_in(shell: str) -> Iterator[list[str]]:
    """The words after `agentctl` of every call in lines of a shell; remarks, and what follows in a pipe, left out."""
    for line in shell.replace("\\\n", " ").splitlines():
        inner = [found for found in _SUBSTITUTED.findall(line) if "agentctl" in found]
        for text in inner or [line]:
            # A remark begins at a `#` of its own; what stands in it is prose.
            found = _CALL.search(re.split(r"(?:^|\s)#", text)[0])
            if found is not None:
                yield shlex.split(re.split(r"\s(?:&&|\|)\s|;", found[1])[0])


def problem_with(words: list[str], *, is_whole: bool) -> str | None:
    """What `agentctl` would not take of a command line; one that is not whole may leave out what must be given."""
    command: click.Command = agentctl
    context = click.Context(command, info_name="agentctl")
    try:
        while isinstance(command, click.Group):
            given, words, _ = command.make_parser(context).parse_args(list(words))
            _check_values(command, context, given, is_whole=is_whole)
            if not words:
                return None if command.invoke_without_command or not is_whole else "it names no command"
            below = command.get_command(context, words[0])
            if below is None:
                return f"there is no command {words[0]!r}"
            command, words = below, words[1:]
            context = click.Context(command, parent=context, info_name=command.name)
        given, left, _ = command.make_parser(context).parse_args(list(words))
        _check_values(command, context, given, is_whole=is_whole)
    except click.UsageError as error:
        return error.format_message()
    return f"it takes no argument {left[0]!r}" if left else None


def _check_values(command: click.Command, context: click.Context, given: dict[str, object], *, is_whole: bool) -> None:
    """Raises UsageError for a choice or number that an option does not take, or something that is missing."""
    for parameter in command.get_params(context):
        value = given.get(str(parameter.name))
        # click has a mark of its own for what was not given.
        if value == () or not isinstance(value, str | bool | int | list | tuple):
            if is_whole and parameter.required:
                raise click.MissingParameter(ctx=context, param=parameter)
        elif isinstance(value, str) and _is_judged(parameter.type, value):
            parameter.type.convert(value, parameter, context)


def _is_judged(kind: click.ParamType[Any], value: str) -> bool:
    """Whether it is a choice, or a number and not a word that stands for one, such as `N`."""
    return isinstance(kind, click.Choice) or (
        isinstance(kind, click.IntRange | click.FloatRange) and not value.isupper()
    )
