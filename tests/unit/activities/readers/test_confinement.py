import json
import platform
import subprocess
import sys

import pytest

from activities.readers.confinement import child_environment

PROGRAM = """
import json, os, resource, socket, subprocess, sys
from activities.readers.confinement import confine

is_filtered = confine(memory_bytes=256 * 1024**2, processor_seconds=7)


def attempt(what):
    try:
        what()
    except BaseException as error:
        return type(error).__name__
    return "done"


seen = {
    "filtered": is_filtered,
    "limits": [resource.getrlimit(resource.RLIMIT_CPU), resource.getrlimit(resource.RLIMIT_CORE)],
    "memory": attempt(lambda: bytearray(512 * 1024**2)),
    "network": attempt(lambda: socket.socket()),
    "open": attempt(lambda: open("/proc/%d/environ" % os.getppid())),
    "write": attempt(lambda: open(sys.argv[1], "w")),
    "start": attempt(lambda: os.fork()),
    "kill": attempt(lambda: os.kill(os.getppid(), 0)),
    "environment": sorted(os.environ),
}
os.write(1, json.dumps(seen).encode())
"""


def test_a_confined_process_can_compute_and_nothing_else(tmp_path: object) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-s", "-c", PROGRAM, f"{tmp_path}/made"],
        env=child_environment(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    seen = json.loads(done.stdout)

    assert ([[7, 12], [0, 0]], "MemoryError") == (seen["limits"], seen["memory"])
    assert not {"VAULT_KEY", "DATABASE_URL", "OPENAI_API_KEY", "HOME", "PATH"} & set(seen["environment"])
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("system calls are filtered on Linux only")
    assert seen["filtered"]
    assert ["PermissionError"] * 5 == [seen[name] for name in ("network", "open", "write", "start", "kill")]
