"""Tools of installed packages: each entry point of the group `agentflow.tools` gives a tool, or several.

API and workers load them once, when they start: a plug-in that cannot be offered ends the start with its reason, not a
run in the middle of the night.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from activities.catalog import TOOLS
from activities.errors import ToolPluginInvalid
from activities.tools.tool import Tool
from runs.signatures import StepSignature

GROUP = "agentflow.tools"


def load_tools() -> Mapping[str, Tool]:
    """The tools that ship with AgentFlow and those of installed packages, by name; raises ToolPluginInvalid."""
    tools = dict(TOOLS)
    for entry_point in sorted(entry_points(group=GROUP), key=lambda found: (found.name, found.value)):
        for tool in _tools_of(entry_point):
            name = _checked_name(tool, entry_point)
            if name in tools:
                raise ToolPluginInvalid(entry_point=entry_point.value, reason=f"there is a tool {name!r} already")
            tools[name] = tool
    return MappingProxyType(tools)


def signatures_of(tools: Mapping[str, Tool]) -> dict[str, StepSignature]:
    """What the compiler knows of the tools."""
    return {name: tool.signature for name, tool in tools.items()}


def _tools_of(entry_point: EntryPoint) -> list[Tool]:
    try:
        given: Any = entry_point.load()
        tools = [given] if isinstance(given, Tool) or not isinstance(given, Iterable) else list(given)
    except Exception as error:  # The edge to foreign code: its import may raise anything.
        reason = f"it cannot be imported: {type(error).__name__}: {error}"
        raise ToolPluginInvalid(entry_point=entry_point.value, reason=reason) from error
    for tool in tools:
        if not isinstance(tool, Tool):
            reason = f"it gives a {type(tool).__name__}; a Tool of activities.tools.tool, or several, are wanted"
            raise ToolPluginInvalid(entry_point=entry_point.value, reason=reason)
    return tools


def _checked_name(tool: Tool, entry_point: EntryPoint) -> str:
    name = tool.signature.name
    if "." not in name.strip("."):
        reason = f"its tool is called {name!r}; a name has a dot, such as acme.invoice"
        raise ToolPluginInvalid(entry_point=entry_point.value, reason=reason)
    return name
