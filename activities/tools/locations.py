"""Where a tool may read: below the prefixes of the setting BUCKETS, and nowhere else."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from activities.errors import LocationDenied

#: Of one part of a key; more than that no file system holds.
_LONGEST_NAME_BYTES = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A document in a bucket."""

    bucket: str
    #: The bucket's URL, such as `s3://documents/incoming/`; where it is is the operator's matter, so no error tells it.
    prefix: str
    #: Below the prefix, without a leading slash.
    key: str

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


def buckets_of(buckets: Mapping[str, str], *, org_id: str) -> dict[str, str]:
    """The buckets as an organisation has them: `{org_id}` in a prefix gives each its own part."""
    return {name: prefix.replace("{org_id}", quote(org_id, safe="")) for name, prefix in buckets.items()}


def locate(buckets: Mapping[str, str], *, bucket: str | None, key: str | None, url: str | None) -> Location:
    """The document that a bucket and a key, or a URL, stand for.

    Raises LocationDenied for a bucket that is not configured, a URL outside all of them, and a key that climbs out.
    """
    if url is not None:
        return _locate_url(buckets, url)
    name = bucket or ""
    prefix = buckets.get(name)
    if prefix is None:
        known = ", ".join(sorted(buckets)) or "none"
        raise LocationDenied(location=name, reason=f"the setting BUCKETS has no such bucket (there is: {known})")
    return _checked(Location(bucket=name, prefix=prefix, key=key or ""))


def _locate_url(buckets: Mapping[str, str], url: str) -> Location:
    for name, prefix in sorted(buckets.items(), key=lambda bucket: -len(bucket[1])):
        base = prefix.rstrip("/") + "/"
        if url.startswith(base):
            return _checked(Location(bucket=name, prefix=prefix, key=unquote(url[len(base) :])))
    raise LocationDenied(location=url[:200], reason="it lies below none of the prefixes of the setting BUCKETS")


def _checked(location: Location) -> Location:
    parts = location.key.split("/")
    if any(part in {"", ".", ".."} or "\\" in part or not part.isprintable() for part in parts) or any(
        len(part.encode()) > _LONGEST_NAME_BYTES for part in parts
    ):
        raise LocationDenied(location=location.key[:200], reason="a key is a path below its bucket, such as a/b.pdf")
    target = urlsplit(location.prefix)
    if target.scheme == "file" and not _stays_inside(Path(unquote(target.path)), location.key):
        raise LocationDenied(location=location.key[:200], reason="it leads out of its bucket, or nowhere")
    return location


def _stays_inside(folder: Path, key: str) -> bool:
    """Whether no symbolic link on the way leads out of the folder, or round in a ring.

    Versions of Python resolve rings differently, some of them without a word; the system's own walk decides.
    """
    path = folder / key
    try:
        # Where nothing is, the store says so; a link on the way is looked at all the same.
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    except (OSError, RecursionError):
        return False
