from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from agentflow.database import Database
from agentflow.ids import new_id
from scl.models import PiiKind
from scl.repository import VaultRepository
from scl.token_vault import SealedToken

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EMAIL = SealedToken(token="<EMAIL_aaaaaaaaaaaa>", kind=PiiKind.EMAIL, sealed=b"\x00first\xff")
IP = SealedToken(token="<IP_bbbbbbbbbbbb>", kind=PiiKind.IP, sealed=b"second")


async def test_tokens_come_back_as_they_were_stored_and_only_to_their_owner(database: Database, org_id: str) -> None:
    async with database.transaction() as session:
        repository = VaultRepository(session)
        await repository.store_tokens(org_id=org_id, tokens=[IP, EMAIL], created_at=NOON)

        asked = [IP.token, "<IP_cccccccccccc>", EMAIL.token]

        assert await repository.fetch_tokens(org_id=org_id, tokens=asked) == [EMAIL, IP]
        assert await repository.fetch_tokens(org_id=new_id("org"), tokens=asked) == []


OTHER = SealedToken(token=EMAIL.token, kind=PiiKind.EMAIL, sealed=b"of somebody else")


async def test_a_value_may_be_stored_any_number_of_times(database: Database, org_id: str) -> None:
    async with database.transaction() as session:
        repository = VaultRepository(session)
        for tokens in ([EMAIL], [EMAIL, IP, EMAIL], [IP]):
            await repository.store_tokens(org_id=org_id, tokens=tokens, created_at=NOON)
        await repository.store_tokens(org_id=new_id("org"), tokens=[OTHER], created_at=NOON)

        assert await repository.fetch_tokens(org_id=org_id, tokens=[EMAIL.token, IP.token]) == [EMAIL, IP]


@pytest.mark.parametrize("stored", [[[EMAIL], [OTHER, IP]], [[EMAIL, OTHER]]], ids=["later", "at once"])
async def test_a_token_behind_which_another_value_is_is_refused(
    database: Database, org_id: str, stored: list[list[SealedToken]]
) -> None:
    *before, colliding = stored
    async with database.transaction() as session:
        for tokens in before:
            await VaultRepository(session).store_tokens(org_id=org_id, tokens=tokens, created_at=NOON)

    with pytest.raises(DBAPIError, match="another value has the token <EMAIL_aaaaaaaaaaaa>"):
        async with database.transaction() as session:
            await VaultRepository(session).store_tokens(org_id=org_id, tokens=colliding, created_at=NOON)

    async with database.transaction() as session:
        asked = [EMAIL.token, IP.token]
        kept = await VaultRepository(session).fetch_tokens(org_id=org_id, tokens=asked)
    assert ([EMAIL] if before else []) == kept


async def test_an_audit_row_has_its_instant_and_counts(database: Database, org_id: str) -> None:
    async with database.transaction() as session:
        await VaultRepository(session).record_detokenisation(
            org_id=org_id, run_id="run_1", node_id="n", kinds={PiiKind.EMAIL: 2, PiiKind.IP: 1}, created_at=NOON
        )
        rows = await session.execute(
            text("SELECT tokens, kinds, created_at FROM scl_detokenisations WHERE org_id = :o"), {"o": org_id}
        )

    assert [tuple(row) for row in rows] == [(3, {"EMAIL": 2, "IP": 1}, NOON)]
