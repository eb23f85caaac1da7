"""One runner for all tests of the sandbox: what an escape leaves behind, the next test meets."""

from collections.abc import Iterator

import pytest

from activities.sandbox.runner import SandboxRunner
from tests.unit.activities.sandbox.requests import compiled_modules_directory


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest) -> Iterator[SandboxRunner]:
    runner = SandboxRunner(compiled_modules_directory(request))
    yield runner
    runner.close()
