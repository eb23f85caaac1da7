"""The pages that list things list all of them: settings, tools, functions, and the fields of documents."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from activities.catalog import FUNCTIONS, TOOLS
from agentflow.settings import Settings
from tests.unit.docs.pages import ROOT, spans, table_rows
from workflows.agent_config import AgentConfig
from workflows.dag_spec import NODE_CONFIGS
from workflows.node_configs import (
    ApprovalConfig,
    CodeConfig,
    LlmConfig,
    LoopConfig,
    MapConfig,
    PolicySpec,
    ReduceConfig,
    RetrySpec,
    TimeoutSpec,
    WaitConfig,
)

DOCS = ROOT / "docs"
WORKFLOWS = DOCS / "workflow-documents.md"


def words_of(page: Path) -> set[str]:
    return set(re.findall(r"[A-Za-z_][\w.]*", page.read_text(encoding="utf-8")))


def test_every_setting_stands_on_the_page_and_every_one_on_the_page_exists() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    settings = {name.upper() for name in Settings.model_fields}
    listed = {name for row in table_rows(text) for name in re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", row[0])}

    assert set() == settings - words_of(DOCS / "configuration.md")
    assert set() == listed - settings


def test_every_tool_and_every_function_stands_on_its_page_and_in_the_readme() -> None:
    assert set() == set(TOOLS) - set(spans(DOCS / "tools.md"))
    assert set() == set(FUNCTIONS) - set(spans(WORKFLOWS))
    assert set() == {*TOOLS, *FUNCTIONS} - set(spans(ROOT / "README.md"))


def test_every_type_of_node_stands_on_the_page_and_in_the_readme() -> None:
    assert set() == set(NODE_CONFIGS) - set(spans(WORKFLOWS))
    assert set() == set(NODE_CONFIGS) - set(spans(ROOT / "README.md"))


@pytest.mark.parametrize(
    "form",
    [
        AgentConfig,
        ApprovalConfig,
        CodeConfig,
        LlmConfig,
        LoopConfig,
        MapConfig,
        PolicySpec,
        ReduceConfig,
        RetrySpec,
        TimeoutSpec,
        WaitConfig,
    ],
)
def test_every_field_of_a_document_stands_on_the_page(form: type[BaseModel]) -> None:
    names = {field.alias or name for name, field in form.model_fields.items()}

    assert set() == names - words_of(WORKFLOWS)
