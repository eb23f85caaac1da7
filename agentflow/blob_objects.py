"""Content outside the database: a folder, or a bucket of an object store.

Every write makes an object of its own name, even of content that is there already. So an object that is deleted,
because its row is gone, is never one that somebody else has just written for a row to come.
"""

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from agentflow.errors import BlobNotFound, BlobStoreUnavailable, ConfigurationError
from agentflow.settings import Settings

_NONCE_BYTES = 8
_PAGE = 500
_RETRIES: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=15)}
_TIMEOUTS = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
#: Tells which database the objects belong to.
_OWNER = "agentflow-database"
#: What `write` names objects; nothing else below the URL is ever touched.
_LOCATION = re.compile(r"(?P<org>[^/]+)/[0-9a-f]{2}/(?P<digest>[0-9a-f]{64})\.[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as the store lists it."""

    location: str
    org_id: str
    digest: str
    modified_at: datetime


class BlobObjects:
    """Objects below one URL. Errors never quote what the store says, which may be a signed request."""

    def __init__(self, store: ObjectStore, *, name: str, folder: Path | None = None) -> None:
        self._store, self._name, self._folder = store, name, folder

    async def write(self, *, org_id: str, digest: str, content: bytes) -> str:
        """Stores `content`, whose digest the caller knows, and returns where; raises BlobStoreUnavailable."""
        name = f"{digest}.{secrets.token_hex(_NONCE_BYTES)}"
        location = f"{quote(org_id, safe='')}/{digest[:2]}/{name}"
        try:
            await obstore.put_async(self._store, location, content)
            if self._folder is not None:
                await asyncio.to_thread(_make_durable, self._folder / location)
        except (BaseError, OSError, ValueError) as error:
            raise self._unavailable(error) from None
        return location

    async def read(self, *, location: str, digest: str) -> bytes:
        """The object's content as it is; raises BlobNotFound or BlobStoreUnavailable."""
        try:
            found = await obstore.get_async(self._store, location)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            raise BlobNotFound(digest=digest) from None
        except (BaseError, OSError, ValueError) as error:
            raise self._unavailable(error) from None

    async def delete(self, locations: Sequence[str]) -> None:
        """Deletes objects, those that are gone already too; raises BlobStoreUnavailable."""
        try:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, list(locations))
                return
            # A folder stops at the first that is gone.
            for location in locations:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, location)
        except (BaseError, OSError, ValueError) as error:
            raise self._unavailable(error) from None

    async def owner(self, *, claimed_by: str) -> str:
        """The database that the objects belong to, the one that asks when nobody did before.

        Raises BlobStoreUnavailable.
        """
        try:
            return await self._owner()
        except FileNotFoundError:
            pass
        except (BaseError, OSError, ValueError) as error:
            raise self._unavailable(error) from None
        try:
            await obstore.put_async(self._store, _OWNER, claimed_by.encode())
            return await self._owner()
        except (BaseError, OSError, ValueError) as error:
            raise self._unavailable(error) from None

    async def _owner(self) -> str:
        found = await obstore.get_async(self._store, _OWNER)
        return bytes(await found.bytes_async()).decode(errors="replace")

    async def pages(self) -> AsyncIterator[list[StoredObject]]:
        """All objects that `write` made, some hundreds at a time; raises BlobStoreUnavailable."""
        listing = obstore.list(self._store, chunk_size=_PAGE).__aiter__()
        while True:
            try:
                page = await anext(listing)
            except StopAsyncIteration:
                return
            except (BaseError, OSError, ValueError) as error:
                raise self._unavailable(error) from None
            yield [
                StoredObject(
                    location=meta["path"],
                    org_id=unquote(parts["org"]),
                    digest=parts["digest"],
                    modified_at=meta["last_modified"],
                )
                for meta in page
                if (parts := _LOCATION.fullmatch(meta["path"])) is not None
            ]

    def _unavailable(self, error: Exception) -> BlobStoreUnavailable:
        return BlobStoreUnavailable(store=self._name, reason=type(error).__name__)


def open_blob_objects(settings: Settings) -> BlobObjects | None:
    """The store that BLOB_STORE_URL names, or None; raises ConfigurationError for what cannot be one."""
    url = settings.blob_store_url
    if not url:
        return None
    parts = urlsplit(url)
    # Without what may be credentials.
    name = urlunsplit((parts.scheme, parts.hostname or "", parts.path, "", ""))
    try:
        if parts.scheme == "file":
            folder = Path(unquote(parts.path))
            return BlobObjects(LocalStore(folder, mkdir=True), name=name, folder=folder)
        if parts.scheme == "s3" and parts.hostname:
            return BlobObjects(_s3_store(settings, parts.hostname, parts.path.strip("/")), name=name)
    except (BaseError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"BLOB_STORE_URL names {name!r}, which cannot be used: {type(error).__name__}"
        ) from None
    raise ConfigurationError(
        f"BLOB_STORE_URL names {name!r}; set file:///a/folder or s3://bucket/prefix, or leave it unset for the database"
    )


def _s3_store(settings: Settings, bucket: str, prefix: str) -> S3Store:
    """What the settings leave open comes from the environment's `AWS_*`, as S3's own clients read it."""
    configured = {
        "endpoint": settings.blob_s3_endpoint,
        "region": settings.blob_s3_region,
        "access_key_id": _secret(settings.blob_s3_access_key_id),
        "secret_access_key": _secret(settings.blob_s3_secret_access_key),
    }
    config: Any = {key: value for key, value in configured.items() if value is not None}
    allow_http = (settings.blob_s3_endpoint or "").startswith("http://")
    client_options: Any = {**_TIMEOUTS, **({"allow_http": True} if allow_http else {})}
    return S3Store(bucket, prefix=prefix or None, config=config, client_options=client_options, retry_config=_RETRIES)


def _secret(value: Any) -> str | None:
    return value.get_secret_value() if value is not None else None


def _make_durable(path: Path) -> None:
    """Waits until a file and its name are on the disk: the row that refers to it will be, too."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
