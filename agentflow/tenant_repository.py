"""SQL of organisations and API keys: who may come in. A key is stored as its hash; the secret is told once."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import sha256_hex
from agentflow.ids import new_id

#: The organisation of an embedded stack's development key.
DEV_ORG_ID = "org_dev"
_SECRET_BYTES = 32
#: Of the hash's hexadecimal digits: enough to tell keys apart, and nothing to guess one by.
_FINGERPRINT_DIGITS = 12
_PREFIX = "af_"

_ENSURE_ORGANISATION = text("""
    INSERT INTO organisations (org_id, name, created_at) VALUES (:org_id, :name, :now)
    ON CONFLICT (org_id) DO NOTHING
""")
_ADD_KEY = text("""
    INSERT INTO api_keys (key_id, org_id, name, secret_digest, created_at)
    VALUES (:key_id, :org_id, :name, :secret_digest, :now)
    ON CONFLICT (secret_digest) DO UPDATE SET secret_digest = api_keys.secret_digest
    RETURNING key_id
""")
_FIND_KEY = text("""
    SELECT key_id, org_id, name FROM api_keys WHERE secret_digest = :secret_digest AND revoked_at IS NULL
""")
_KEY_NAMES = text("SELECT DISTINCT name FROM api_keys WHERE org_id = :org_id AND revoked_at IS NULL")
_REVOKE_KEY = text("""
    UPDATE api_keys SET revoked_at = :now WHERE org_id = :org_id AND key_id = :key_id AND revoked_at IS NULL
    RETURNING key_id
""")

_LIST_KEYS = text("""
    SELECT key_id, org_id, organisations.name AS org_name, api_keys.name, secret_digest, api_keys.created_at, revoked_at
    FROM api_keys JOIN organisations USING (org_id)
    WHERE org_id = :org_id
    ORDER BY api_keys.created_at, key_id
""")
_LIST_ORGANISATIONS = text("SELECT org_id FROM organisations ORDER BY created_at, org_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """A key as it is listed: never the key itself, of which only the hash is known."""

    key_id: str
    org_id: str
    org_name: str
    name: str
    #: The first digits of the key's SHA-256, by which its owner knows it again.
    fingerprint: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who makes a request."""

    org_id: str
    key_id: str
    #: The key's own name, by which approvers are told apart.
    name: str


def new_api_key() -> str:
    """A fresh secret: `af_` and 256 random bits."""
    return f"{_PREFIX}{secrets.token_urlsafe(_SECRET_BYTES)}"


def fingerprint_of(api_key: str) -> str:
    """What stands for a key where keys are listed."""
    return sha256_hex(api_key.encode())[:_FINGERPRINT_DIGITS]


class TenantRepository:
    """Organisations and their keys, inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def ensure_organisation(self, *, org_id: str, name: str, now: datetime) -> None:
        """Makes an organisation unless it is there."""
        await self._session.execute(_ENSURE_ORGANISATION, {"org_id": org_id, "name": name, "now": now})

    async def add_key(self, *, org_id: str, name: str, api_key: str, now: datetime) -> str:
        """Lets `api_key` in as the organisation and returns the key's id; a key that is known stays as it is."""
        parameters = {
            "key_id": new_id("key"),
            "org_id": org_id,
            "name": name,
            "secret_digest": sha256_hex(api_key.encode()),
            "now": now,
        }
        key_id: str = (await self._session.execute(_ADD_KEY, parameters)).scalar_one()
        return key_id

    async def find_principal(self, *, api_key: str) -> Principal | None:
        """Whose key this is; None for a key that is unknown or revoked."""
        digest = sha256_hex(api_key.encode("utf-8", errors="surrogatepass"))
        row = (await self._session.execute(_FIND_KEY, {"secret_digest": digest})).first()
        return Principal(org_id=row.org_id, key_id=row.key_id, name=row.name) if row else None

    async def key_names(self, *, org_id: str) -> frozenset[str]:
        """The names of the organisation's keys that are in use."""
        return frozenset((await self._session.execute(_KEY_NAMES, {"org_id": org_id})).scalars())

    async def revoke_key(self, *, org_id: str, key_id: str, now: datetime) -> bool:
        """Lets a key in no more; False when the organisation has no such key in use."""
        parameters = {"org_id": org_id, "key_id": key_id, "now": now}
        return (await self._session.execute(_REVOKE_KEY, parameters)).first() is not None

    async def list_keys(self, *, org_id: str) -> list[KeyFacts]:
        """The keys of an organisation, the oldest first, revoked ones too."""
        rows = await self._session.execute(_LIST_KEYS, {"org_id": org_id})
        return [
            KeyFacts(
                key_id=row.key_id,
                org_id=row.org_id,
                org_name=row.org_name,
                name=row.name,
                fingerprint=row.secret_digest[:_FINGERPRINT_DIGITS],
                created_at=row.created_at,
                revoked_at=row.revoked_at,
            )
            for row in rows
        ]

    async def list_organisations(self) -> list[str]:
        """The ids of all organisations, for operators."""
        return list((await self._session.execute(_LIST_ORGANISATIONS)).scalars())
