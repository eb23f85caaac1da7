"""How code in the sandbox fails. None is worth another attempt: the same request ends the same way.

CodeError
├── SourceInvalid      the source is not Python or JavaScript
├── ModuleInvalid      the module is not one that the sandbox can compile and link
├── MainMissing        there is nothing to call
├── GuestRaised        the code raised an exception and did not catch it
├── GuestCrashed       the module trapped, left with an exit code, or ended without an answer
├── AccessDenied       it asked for a file, a socket, a process or a thread
├── OutOfFuel          it computed for longer than its fuel lasts
├── OutOfTime          it ran for longer than the clock on the wall allows
├── OutOfMemory        it asked for more memory than it may have
├── StackExhausted     it called itself too deeply
├── OutputTooLarge     its answer is larger than allowed
├── OutputTooIntricate its answer has more values than allowed
└── OutputInvalid      its answer is not JSON
"""

from activities.errors import StepError


class CodeError(StepError):
    """A code node cannot give its output."""

    code = "code.error"


class SourceInvalid(CodeError):
    """The source does not compile."""

    code = "code.syntax_error"

    def __init__(self, *, language: str, reason: str) -> None:
        self.language, self.reason = language, reason
        super().__init__(f"the source is not valid {language}: {reason}")


class ModuleInvalid(CodeError):
    """The bytes are not a WebAssembly module that the sandbox can compile and link."""

    code = "code.module_invalid"

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the WebAssembly module cannot be used: {reason}")


class MainMissing(CodeError):
    """There is nothing to call."""

    code = "code.no_main"

    def __init__(self, *, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(f"the code has no entry point; it must have {wanted}")


class GuestRaised(CodeError):
    """The code raised an exception that it did not catch; its traceback is the guest's own."""

    code = "code.raised"

    def __init__(self, *, reason: str, traceback: str) -> None:
        self.reason, self.traceback = reason, traceback
        super().__init__(f"the code raised {reason}\n{traceback}".rstrip())

    @property
    def message_without_content(self) -> str:
        """Names the kind of the exception."""
        kind = self.reason.partition(":")[0].strip()
        return f"the code raised {kind if kind.isidentifier() else 'an exception'}; its step has the traceback"


class GuestCrashed(CodeError):
    """The module trapped, left with an exit code, or ended without an answer."""

    code = "code.crashed"

    def __init__(self, *, reason: str, logs: str) -> None:
        self.reason, self.logs = reason, logs
        super().__init__(f"the code ended without an answer: {reason}\n{logs}".rstrip())

    @property
    def message_without_content(self) -> str:
        """Leaves the logs out."""
        return "the code ended without an answer; its step has the reason"


class AccessDenied(CodeError):
    """The code asked for something of the outside; there is none of it in the sandbox."""

    code = "code.access_denied"

    def __init__(self, *, operation: str, traceback: str = "") -> None:
        self.operation, self.traceback = operation, traceback
        super().__init__(
            f"code has no files, network, processes or threads, and it asked for one: {operation}\n{traceback}".rstrip()
        )

    @property
    def message_without_content(self) -> str:
        """Leaves out what it asked for."""
        return "code has no files, network, processes or threads, and it asked for one; its step has the traceback"


class OutOfFuel(CodeError):
    """The code computed for longer than its fuel lasts."""

    code = "code.out_of_fuel"

    def __init__(self, *, fuel: int) -> None:
        self.fuel = fuel
        super().__init__(f"the code used up its {fuel:,} units of fuel; look for an endless loop, or raise limits.fuel")


class OutOfTime(CodeError):
    """The code ran for longer than the clock on the wall allows."""

    code = "code.out_of_time"

    def __init__(self, *, wall_seconds: float) -> None:
        self.wall_seconds = wall_seconds
        super().__init__(f"the code ran for over {wall_seconds:g} s; make it faster, or raise limits.wall_seconds")


class OutOfMemory(CodeError):
    """The code asked for more memory than it may have."""

    code = "code.out_of_memory"

    def __init__(self, *, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        super().__init__(
            f"the code needs more than its {memory_bytes:,} bytes of memory; "
            "work on less at a time, or raise limits.memory_bytes"
        )


class StackExhausted(CodeError):
    """The code called itself too deeply."""

    code = "code.stack_exhausted"

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the code calls itself too deeply: {reason}; use a loop instead")


class OutputTooLarge(CodeError):
    """The answer is larger than allowed."""

    code = "code.output_too_large"

    def __init__(self, *, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(
            f"the code's output has more than {limit_bytes:,} bytes of JSON; return less, or raise limits.output_bytes"
        )


class OutputTooIntricate(CodeError):
    """The answer has more values than allowed."""

    code = "code.output_too_intricate"

    def __init__(self, *, limit_values: int) -> None:
        self.limit_values = limit_values
        super().__init__(
            f"the code's output has more than {limit_values:,} values, counting those inside of lists and objects; "
            "return less, or longer texts instead of many values"
        )


class OutputInvalid(CodeError):
    """The answer is not JSON."""

    code = "code.output_not_json"

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the code's output is not JSON: {reason}")
