"""One S3 server for all tests of content outside the database."""

from collections.abc import Iterator

import pytest

from tests.seaweed import SeaweedServer


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SeaweedServer]:
    server = SeaweedServer()
    server.start()
    yield server
    server.stop()
