import json
from typing import Any

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.cli.answering_server import AnsweringServer

VERSION: dict[str, Any] = {
    "name": "greeting",
    "version": 2,
    "digest": "0" * 64,
    "template": "Hello {{ name }}",
    "schema": None,
    "created_at": "2026-01-02T03:04:05Z",
}
DEPLOYMENT: dict[str, Any] = {
    "prompt_name": "greeting",
    "stable_version": 1,
    "canary_version": 2,
    "canary_ratio": 0.1,
    "revision": 7,
    "updated_at": "2026-01-02T03:04:05Z",
}


def test_a_prompt_is_shown_with_what_is_deployed_of_it(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer("/api/v1/prompts/greeting", VERSION)
    server.answer("/api/v1/prompts/deployments/greeting", DEPLOYMENT)

    assert ExitCode.OK == main(["prompt", "get", "greeting"])

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Stable", "1"] in lines
    assert ["Canary", "2", "for", "10.0%", "of", "runs"] in lines
    assert ["Revision", "7"] in lines


def test_a_prompt_that_is_not_deployed_is_shown_without(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer("/api/v1/prompts/greeting/2", VERSION)
    server.refuse(
        "/api/v1/prompts/deployments/greeting", 404, code="prompt.not_deployed", detail="it has no deployment"
    )

    assert ExitCode.OK == main(["prompt", "get", "greeting@2"])

    printed = capsys.readouterr()
    assert "Hello {{ name }}" in printed.out
    assert "Stable" not in printed.out
    assert "" == printed.err


def test_a_prompt_for_programs_is_the_version_alone(
    server: AnsweringServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer("/api/v1/prompts/greeting", VERSION)

    assert ExitCode.OK == main(["prompt", "get", "greeting", "-o", "json"])

    assert VERSION == json.loads(capsys.readouterr().out)
    assert ["/api/v1/prompts/greeting"] == [asked.path for asked in server.asked]
