"""SQL of organisations and API keys: who may come in. A key is stored as its hash; the secret is told once."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from agentflow.digest import sha256_hex
from agentflow.ids import new_id

_SECRET_BYTES = 32
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
