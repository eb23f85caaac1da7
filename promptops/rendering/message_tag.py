"""`{% message "system" %} … {% endmessage %}`: roles as syntax.

The tag becomes a node of the syntax tree. `OverlayScope` carries it, a node that Jinja keeps for extensions: no
other syntax makes one, and the code generator of this package gives it its meaning.
"""

from typing import TypeGuard, get_args

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from promptops.models import Role

_ROLES: tuple[Role, ...] = get_args(Role)


class MessageTag(Extension):
    """Parses the tag; the role is one of three words, written out."""

    tags = {"message"}  # noqa: RUF012 -- Jinja declares it as an instance variable

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        role = parser.stream.current
        if role.type != "string" or not _is_role(role.value):
            parser.fail(f"`message` needs a role in quotes, one of {', '.join(_ROLES)}", line)
        next(parser.stream)
        body = parser.parse_statements(("name:endmessage",), drop_needle=True)
        return message_node(role.value, body, line=line)


def message_node(role: str, body: list[nodes.Node], *, line: int) -> nodes.OverlayScope:
    """The node of a message; `body` is what is written into it."""
    return nodes.OverlayScope(nodes.Const(role, lineno=line), body, lineno=line)


def role_of(node: nodes.OverlayScope) -> Role:
    """The role that a message's node carries."""
    role = node.context.as_const()
    if not _is_role(role):
        raise AssertionError(f"a message node carries {role!r}")
    return role


def _is_role(value: object) -> TypeGuard[Role]:
    return value in _ROLES
