"""Plug-ins as they are installed: a module and a dist-info on the path, found by importlib.metadata."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.catalog import TOOLS
from activities.errors import ToolPluginInvalid
from activities.resources import Resources
from activities.tool_plugins import load_tools, signatures_of
from agentflow.settings import Settings
from api.app import create_app
from runs.plan import Leaf, StepPolicy

Install = Callable[..., None]
_SOURCE = """
from activities.tools.tool import Tool
from runs.effects import EffectClass
from runs.signatures import StepSignature


async def _call(context, arguments):
    return {"key": context.idempotency_key}


def tool(name):
    signature = StepSignature(name=name, description="Invoices.", input_schema={"type": "object"}, output_schema=None)
    return Tool(signature=signature, call=_call, effect=EffectClass.IDEMPOTENT)


ONE = tool("acme.invoice")
SEVERAL = [tool("acme.book"), tool("acme.pay")]
CLASHING = tool("http.request")
DOTLESS = tool("invoice")
NOTHING = 7
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package with these entry points; each test has a module of its own name."""
    module = f"acme_{tmp_path.name}"

    def write(**objects: str) -> None:
        (tmp_path / f"{module}.py").write_text(_SOURCE)
        information = tmp_path / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        points = [f"{name} = {target.format(module=module)}" for name, target in objects.items()]
        (information / "entry_points.txt").write_text("\n".join(["[agentflow.tools]", *points, ""]))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, module, raising=False)

    return write


def test_without_plug_ins_there_is_what_ships_with_agentflow() -> None:
    assert dict(TOOLS) == dict(load_tools())


def test_an_entry_point_gives_a_tool_or_several(install: Install) -> None:
    install(one="{module}:ONE", more="{module}:SEVERAL")

    tools = load_tools()
    resources = Resources(Settings(vault_key="MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="))

    assert {"acme.invoice", "acme.book", "acme.pay"} == set(tools) - set(TOOLS)
    assert "Invoices." == signatures_of(tools)["acme.pay"].description
    leaf = Leaf(kind="tool", target="acme.invoice", arguments={}, policy=StepPolicy())
    assert "acme.invoice" == resources.tool(leaf).signature.name


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("{module}:MISSING", "cannot be imported: AttributeError"),
        ("{module}_missing:ONE", "cannot be imported: ModuleNotFoundError"),
        ("{module}:CLASHING", "there is a tool 'http.request' already"),
        ("{module}:DOTLESS", "a name has a dot"),
        ("{module}:NOTHING", "gives a int"),
    ],
)
def test_a_plug_in_that_cannot_be_offered_ends_the_start_with_its_reason(
    install: Install, target: str, reason: str
) -> None:
    install(wrong=target)

    with pytest.raises(ToolPluginInvalid, match=reason):
        load_tools()
    with pytest.raises(ToolPluginInvalid, match=reason):
        create_app(Settings())


def test_of_two_plug_ins_with_one_name_the_second_is_refused(install: Install) -> None:
    install(one="{module}:ONE", two="{module}:ONE")

    with pytest.raises(ToolPluginInvalid, match=r"'acme\.invoice' already"):
        load_tools()
