"""Runs a command that dies with the process that started it, even when that one is killed by `kill -9`.

`python tethered_exec.py PARENT_PID COMMAND …` asks the kernel for SIGKILL on the parent's death (prctl(2),
PR_SET_PDEATHSIG), then becomes the command by exec. A program of its own, because code between fork and exec
(`preexec_fn`) can deadlock in a process with threads. The wish survives exec, and it is tied to the parent's
*thread* that forked: see cli.embedded.service_process. On systems without prctl the command runs untethered.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PARENT_IS_GONE = 1


def main(arguments: list[str]) -> None:
    """Becomes the command; exits with 1 when the parent died before the tether held."""
    parent_pid, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() != parent_pid:
            os._exit(_PARENT_IS_GONE)
    os.execvp(command[0], command)  # noqa: S606  # No shell: becoming the given command is this program's job.


if __name__ == "__main__":
    main(sys.argv[1:])
