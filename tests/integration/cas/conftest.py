"""The ledger of an organisation that no other test uses."""

import pytest

from agentflow.database import Database
from tests.integration.cas.transactional_ledger import TransactionalLedger


@pytest.fixture
def ledger(database: Database, org_id: str) -> TransactionalLedger:
    return TransactionalLedger(database, org_id)
