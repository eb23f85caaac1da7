"""One canonical form of JSON and one hash, so that equal content has equal names everywhere."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

#: What JSON can say. Mappings and sequences are read-only views, so callers may pass narrower types.
Json: TypeAlias = str | int | float | bool | Sequence["Json"] | Mapping[str, "Json"] | None

#: `json.dumps` with these options makes a new one each time.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Json) -> bytes:
    """UTF-8 JSON with sorted keys and no white space; refuses NaN and infinities (RFC 8785 in spirit).

    Raises ValueError for a non-finite number and TypeError for what JSON cannot say.
    """
    return _CANONICAL.encode(value).encode("utf-8", errors="surrogatepass")


def sha256_hex(content: bytes) -> str:
    """The SHA-256 of `content` as 64 lower-case hex digits."""
    return hashlib.sha256(content).hexdigest()


def json_digest(value: Json) -> str:
    """The SHA-256 of the canonical form of `value`."""
    return sha256_hex(canonical_json(value))


def keyed_digest(*parts: str | int | None) -> str:
    """A digest of a tuple: parts cannot run into each other, because the tuple is hashed as JSON."""
    return json_digest(list(parts))
