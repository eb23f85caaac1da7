"""What a process gives up before it looks at a stranger's file: memory, time, files, network, other processes.

Limits hold on every system. On Linux, on x86-64 and arm64, a seccomp filter leaves just the system calls of a program
that computes, reads its standard input and writes its standard output (seccomp(2)); everything else fails with EPERM.
"""

import ctypes
import os
import platform
import resource
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_SECCOMP_MODE_FILTER = 2
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
#: Of classic BPF: load a word, jump if equal, return.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET = 0, 4

#: Machine → AUDIT_ARCH_*, and the numbers of: read, write, readv, writev, close, fstat, newfstatat, lseek, mmap,
#: mprotect, munmap, mremap, brk, madvise, futex, rt_sigaction, rt_sigprocmask, rt_sigreturn, sigaltstack, exit,
#: exit_group, getpid, gettid, getrandom, clock_gettime, gettimeofday, sched_yield, sched_getaffinity, getrusage,
#: sysinfo, prlimit64, restart_syscall, poll or ppoll.
_ALLOWED: dict[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        (
            *(0, 1, 19, 20, 3, 5, 262, 8, 9, 10, 11, 25, 12, 28, 202, 13, 14, 15, 131, 60),
            *(231, 39, 186, 318, 228, 96, 24, 204, 98, 99, 302, 219, 7, 271),
        ),
    ),
    "aarch64": (
        0xC00000B7,
        (
            *(63, 64, 65, 66, 57, 80, 79, 62, 222, 226, 215, 216, 214, 233, 98, 134, 135, 139, 132, 93),
            *(94, 172, 178, 278, 113, 169, 124, 123, 165, 179, 261, 128, 73),
        ),
    ),
}


class _Instruction(ctypes.Structure):
    """`struct sock_filter`."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def confine(*, memory_bytes: int, processor_seconds: int) -> bool:
    """Bounds this process for good; whether system calls are filtered too. Import what is needed before."""
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        # Nothing can be written to a file, which leaves pipes; and few files can be open.
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),
    ):
        resource.setrlimit(limit, (most, most))
    # The first is told as SIGXCPU, so that whoever started this process can say why it ended.
    resource.setrlimit(resource.RLIMIT_CPU, (processor_seconds, processor_seconds + 5))
    return sys.platform == "linux" and _filter_system_calls(platform.machine())


def _filter_system_calls(machine: str) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if machine not in _ALLOWED or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    rules = _rules(*_ALLOWED[machine])
    instructions = (_Instruction * len(rules))(*rules)
    program = _Program(len(rules), instructions)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _rules(architecture: int, numbers: tuple[int, ...]) -> list[_Instruction]:
    rules = [
        _Instruction(_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        _Instruction(_JUMP_IF_EQUAL, 1, 0, architecture),
        _Instruction(_RETURN, 0, 0, _KILL),
        _Instruction(_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    for number in numbers:
        rules += [_Instruction(_JUMP_IF_EQUAL, 0, 1, number), _Instruction(_RETURN, 0, 0, _ALLOW)]
    return [*rules, _Instruction(_RETURN, 0, 0, _REFUSE)]


def child_environment() -> dict[str, str]:
    """All that a confined process gets of this one's environment: where code lies, and nothing that is secret."""
    environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUTF8": "1"}
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return environment
