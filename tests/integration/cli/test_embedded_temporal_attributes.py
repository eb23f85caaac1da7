"""The embedded Temporal server knows our search attributes, also with a database from before they were there."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client

from cli.embedded import temporal_server
from cli.embedded.temporal_server import TemporalDevServer
from workflows.attribute_names import ATTRIBUTE_NAMES
from workflows.attribute_registry import AttributeRegistry


async def known_to(server: TemporalDevServer) -> list[str]:
    registry = AttributeRegistry()
    registry.bind(await Client.connect(server.address))
    return await registry.known()


async def test_a_database_from_before_gets_the_search_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for names, known in (((), []), (ATTRIBUTE_NAMES, list(ATTRIBUTE_NAMES)), (ATTRIBUTE_NAMES, list(ATTRIBUTE_NAMES))):
        monkeypatch.setattr(temporal_server, "ATTRIBUTE_NAMES", names)
        server = TemporalDevServer(tmp_path)
        server.start()
        try:
            assert known == await known_to(server)
        finally:
            server.stop()


async def test_a_cluster_that_lacks_them_is_told_once_with_the_command_that_creates_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporal_server, "ATTRIBUTE_NAMES", ATTRIBUTE_NAMES[:4])
    server = TemporalDevServer(tmp_path)
    server.start()
    try:
        registry = AttributeRegistry()
        registry.bind(await Client.connect(server.address))
        with capture_logs() as logs:
            known = [await registry.known() for _ in range(2)] + [await registry.known(anew=True)]
    finally:
        server.stop()

    assert [list(ATTRIBUTE_NAMES[:4])] * 3 == known
    [told] = logs
    assert ("warning", "temporal.search_attributes_missing") == (told["log_level"], told["event"])
    assert "search-attribute create --name AgentflowFailedNode --type Keyword" in told["command"]
