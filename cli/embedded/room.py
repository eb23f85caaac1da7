"""Whether there is room to start: asked beforehand, because a part that meets a full disk cannot even write its log."""

import os
import tempfile
from pathlib import Path

#: What logs, records and the first pages of databases take at the least.
NEEDED_BYTES = 4 * 1024 * 1024


def check_room(folder: Path) -> None:
    """Writes a little file into `folder`, and removes it; raises the system's error when that cannot be."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".room-") as file:
        file.write(os.urandom(NEEDED_BYTES))
        file.flush()
        os.fsync(file.fileno())
