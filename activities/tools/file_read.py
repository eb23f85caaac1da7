"""`file.read`: a file below the directory of the setting FILES_DIRECTORY, as text or as a reference to its bytes."""

import asyncio
import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from activities.errors import DocumentNotFound, DocumentTooLarge, LocationDenied, ToolFailed
from activities.tools.document_text import media_type_of
from activities.tools.documents import AS_SCHEMA, Fetched, given_as
from activities.tools.tool import Tool, ToolContext
from runs.signatures import StepSignature

_NAME = "file.read"
#: No symbolic link is followed, whoever made it and whenever: then none can lead out.
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: A pipe that nobody writes to must not hold the worker up.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


async def _read_file(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    path = str(arguments["path"])
    if context.settings.files_directory is None:
        raise LocationDenied(location=path, reason="the setting FILES_DIRECTORY names no directory")
    root = Path(context.settings.files_directory.replace("{org_id}", quote(context.org_id, safe="")))
    content = await asyncio.to_thread(read_below, root, path, limit_bytes=context.settings.max_document_bytes)
    name = path.rpartition("/")[2]
    media_type = media_type_of(content, name=name)
    fetched = Fetched(content=content, media_type=media_type, name=name)
    return await given_as(context, fetched, arguments.get("as", "text"))


def read_below(root: Path, path: str, *, limit_bytes: int) -> bytes:
    """The content of a file below `root`.

    Raises LocationDenied for a path that climbs out, passes a symbolic link or names no plain file, DocumentNotFound,
    DocumentTooLarge, or ToolFailed.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} or not part.isprintable() for part in parts):
        raise LocationDenied(location=path[:200], reason="a path leads down from FILES_DIRECTORY, such as a/b.txt")
    try:
        return _descend(root, parts, limit_bytes=limit_bytes, path=path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DocumentNotFound(location=path) from error
    except PermissionError as error:
        raise LocationDenied(location=path, reason="this process may not read it") from error
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise LocationDenied(location=path, reason="it is or passes a symbolic link, or is no file") from error
        raise ToolFailed(tool=_NAME, reason=f"{path!r}: {type(error).__name__}") from error


def _descend(root: Path, parts: list[str], *, limit_bytes: int, path: str) -> bytes:
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for part in parts[:-1]:
            _refuse_link(part, opened[-1], path)
            opened.append(os.open(part, _FOLDER, dir_fd=opened[-1]))
        opened.append(os.open(parts[-1], _FILE, dir_fd=opened[-1]))
        found = os.fstat(opened[-1])
        if not stat.S_ISREG(found.st_mode):
            raise LocationDenied(location=path, reason="it is no plain file")
        if found.st_size > limit_bytes:
            raise DocumentTooLarge(location=path, size_bytes=found.st_size, limit_bytes=limit_bytes)
        return _read_whole(opened[-1], limit_bytes=limit_bytes, path=path)
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _refuse_link(part: str, folder: int, path: str) -> None:
    """A link would be told as "not a directory"; opening it without following it is what keeps us inside."""
    if stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode):
        raise LocationDenied(location=path, reason="it passes a symbolic link")


def _read_whole(descriptor: int, *, limit_bytes: int, path: str) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        # One more than is allowed: it may be growing.
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise DocumentTooLarge(location=path, size_bytes=len(content), limit_bytes=limit_bytes)
    return content


FILE_READ = Tool(
    is_inside=True,
    signature=StepSignature(
        name=_NAME,
        description="Reads a file below FILES_DIRECTORY: its text, its JSON, or a reference to it (`as`).",
        input_schema={
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1, "maxLength": 2048, "description": "Below the directory."},
                "as": AS_SCHEMA,
            },
            "required": ["path"],
            "additionalProperties": False,
        },
        # A text, JSON or a reference, as `as` says.
        output_schema=None,
    ),
    call=_read_file,
)
