"""What grows with the number of nodes, compressed for its way through history.

The skeleton of 256 nodes is 80 KB of JSON, which is much alike from node to node, and history takes 64 KB. Values of
earlier histories, which are not packed, are read as they are.
"""

import base64
import json
import zlib
from typing import Any

from pydantic import TypeAdapter

from activities.payloads import OpenedRun, RunProgress

_OPENED = TypeAdapter(OpenedRun)
_PROGRESS = TypeAdapter(RunProgress)


def pack_opened(opened: OpenedRun) -> OpenedRun:
    """The same in little room."""
    return OpenedRun(packed=_pack(_OPENED, opened))


def unpack_opened(opened: OpenedRun) -> OpenedRun:
    """What was packed; what was not comes back as it is."""
    return opened if opened.packed is None else _OPENED.validate_python(_unpack(opened.packed))


def pack_progress(progress: RunProgress) -> RunProgress:
    """The same in little room."""
    return RunProgress(packed=_pack(_PROGRESS, progress))


def unpack_progress(progress: RunProgress) -> RunProgress:
    """What was packed; what was not comes back as it is."""
    return progress if progress.packed is None else _PROGRESS.validate_python(_unpack(progress.packed))


def _pack(adapter: TypeAdapter[Any], value: Any) -> str:
    # With escapes: a model may have written half of a surrogate pair, which UTF-8 cannot say.
    text = json.dumps(adapter.dump_python(value, mode="json"), separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def _unpack(packed: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(packed)))
