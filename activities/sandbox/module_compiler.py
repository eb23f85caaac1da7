"""`python -m activities.sandbox.module_compiler SECONDS`: WebAssembly on its input, machine code on its output.

The module is a stranger's and compiling has no fuel: this process is bounded in memory and in the processor's
`SECONDS`, gives way to others, and may die of its input. It ends with 0, or with 3 and a reason on standard error when
the module is not valid.
"""

import os
import resource
import sys

from wasmtime import Module, WasmtimeError

from activities.sandbox.engine import new_engine

NOT_VALID = 3
_NICENESS = 10
_MEMORY_BYTES = 4 * 1024**3


def main() -> None:
    """Reads, compiles, writes, ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    os.nice(_NICENESS)
    try:
        compiled = Module(new_engine(), sys.stdin.buffer.read()).serialize()
    except WasmtimeError as error:
        sys.stderr.write(str(error))
        sys.exit(NOT_VALID)
    sys.stdout.buffer.write(compiled)


if __name__ == "__main__":
    main()
