from pathlib import Path

import pytest

from agentflow.blob_objects import open_blob_objects
from agentflow.database import Database
from agentflow.ids import new_id
from agentflow.settings import Settings
from tests.integration.runs.house import House
from tests.seaweed import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedServer


@pytest.fixture
def house(database: Database, org_id: str) -> House:
    return House(database, org_id)


@pytest.fixture(params=["file", "s3"])
def outhouse(request: pytest.FixtureRequest, database: Database, org_id: str, tmp_path: Path) -> House:
    """With its content in an object store."""
    if request.param == "file":
        settings = Settings(blob_store_url=tmp_path.as_uri())
    else:
        server: SeaweedServer = request.getfixturevalue("s3_server")
        settings = Settings(
            blob_store_url=f"s3://agentflow/{new_id('prefix')}",
            blob_s3_endpoint=server.endpoint,
            blob_s3_region="us-east-1",
            blob_s3_access_key_id=ACCESS_KEY_ID,
            blob_s3_secret_access_key=SECRET_ACCESS_KEY,
        )
    return House(database, org_id, open_blob_objects(settings))
