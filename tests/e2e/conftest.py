"""One embedded stack with the local model for the whole folder: what `make up` starts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentflow.client import AgentflowClient
from cli.embedded.ports import StackPorts
from cli.embedded.stack import EmbeddedStack
from cli.example_files import example_folder
from promptops.prompt_file import parse_prompt_file


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    with EmbeddedStack(tmp_path_factory.mktemp("stack"), StackPorts.any_free()) as stack:
        yield stack


@pytest.fixture(scope="session")
def api_key(stack: EmbeddedStack) -> str:
    return Path(stack.addresses["api_key_file"]).read_text(encoding="ascii").strip()


@pytest.fixture(scope="session")
def client(stack: EmbeddedStack, api_key: str) -> Iterator[AgentflowClient]:
    """A client, with the example registered."""
    with AgentflowClient(stack.addresses["api"], api_key=api_key) as client:
        for file in sorted((example_folder() / "prompts").glob("*.yaml")):
            draft = parse_prompt_file(file.read_text(encoding="utf-8"))
            client.create_prompt(name=draft.name, template=draft.template, schema=draft.input_schema)
        client.register_workflow((example_folder() / "workflow.yaml").read_text(encoding="utf-8"))
        yield client


@pytest.fixture(scope="session")
def command_environment(stack: EmbeddedStack, api_key: str) -> dict[str, str]:
    """The environment in which `agentctl` finds the stack."""
    return {**os.environ, "AGENTFLOW_API_URL": stack.addresses["api"], "AGENTFLOW_API_KEY": api_key}
