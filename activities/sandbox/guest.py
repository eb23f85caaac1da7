"""One run of one module, from loading to its end: it blocks, so it has a thread; it can be stopped from any other."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Any

from wasmtime import Func, FuncType, Instance, Linker, Memory, MemoryType, Module, Store, Trap, TrapCode, WasmtimeError

from activities.sandbox.engine import new_engine
from activities.sandbox.guest_memory import GuestMemory
from activities.sandbox.wasi_linking import WASI, HostDefects, link_world
from activities.sandbox.wasi_world import WasiWorld

_PAGE_BYTES = 64 * 1024
_MOST_TABLES, _MOST_TABLE_ELEMENTS = 8, 200_000


class Entry(StrEnum):
    """The function that a module is entered by."""

    #: Of every WASI command.
    COMMAND = "_start"
    #: Of QuickJS as a library, which takes its arguments from the caller.
    QUICKJS = "qjs_init_argv"


class CompiledModuleLost(Exception):
    """A compiled module cannot be loaded: it was removed meanwhile. This never leaves the sandbox."""


class End(Enum):
    """How a guest came to its end."""

    RETURNED = auto()
    EXITED = auto()
    STOPPED = auto()
    OUTPUT_OVERFLOWED = auto()
    OUT_OF_FUEL = auto()
    OUT_OF_MEMORY = auto()
    STACK_EXHAUSTED = auto()
    OUT_OF_BOUNDS = auto()
    CRASHED = auto()
    NOT_LINKABLE = auto()
    NO_ENTRY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is run, and what it finds in its world."""

    compiled: Path
    entry: Entry = Entry.COMMAND
    arguments: tuple[bytes, ...] = ()
    stdin: bytes = field(default=b"", repr=False)
    files: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    now_nanoseconds: int
    seed: int
    fuel: int
    memory_bytes: int
    #: Of standard output; one byte more ends the guest.
    most_output_bytes: int
    #: Of standard error; what is more is dropped.
    most_log_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is left of a guest."""

    end: End
    #: For people, where the end needs words.
    reason: str = ""
    exit_code: int | None = None
    output: bytes = field(default=b"", repr=False)
    logs: bytes = field(default=b"", repr=False)
    cut_log_bytes: int = 0
    fuel_used: int = 0
    #: Whether not one page more could be had; memory never shrinks.
    is_memory_full: bool = False
    refusals: tuple[str, ...] = ()


_ENDS: Mapping[TrapCode | None, End] = {
    TrapCode.INTERRUPT: End.STOPPED,
    TrapCode.OUT_OF_FUEL: End.OUT_OF_FUEL,
    TrapCode.STACK_OVERFLOW: End.STACK_EXHAUSTED,
    TrapCode.MEMORY_OUT_OF_BOUNDS: End.OUT_OF_BOUNDS,
    TrapCode.ALLOCATION_TOO_LARGE: End.OUT_OF_MEMORY,
}


class Guest:
    """A guest before, in and after its run. It has an engine of its own, so that a stop hits nobody else."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._engine = new_engine()
        self._is_stopped = False

    def stop(self) -> None:
        """Ends the run at the guest's next loop or call; safe from any thread, at any time, any number of times."""
        self._is_stopped = True
        self._engine.increment_epoch()

    def run(self) -> Ending:
        """Runs to the end, whatever it is; raises CompiledModuleLost, and nothing of the guest's."""
        program = self._program
        try:
            module = Module.deserialize_file(self._engine, str(program.compiled))
        except WasmtimeError as error:
            raise CompiledModuleLost(str(error)) from error
        problem = _problem_of(module, program)
        if problem is not None:
            return problem
        with Store(self._engine) as store:
            store.set_fuel(program.fuel)
            store.set_limits(
                memory_size=program.memory_bytes,
                table_elements=_MOST_TABLE_ELEMENTS,
                tables=_MOST_TABLES,
                instances=1,
                memories=1,
            )
            # The first tick is the last: whoever stops this guest ticks its engine.
            store.set_epoch_deadline(1)
            return self._run_in(store, module)

    def _run_in(self, store: Store, module: Module) -> Ending:
        world, defects = self._new_world(store), HostDefects()
        linker = Linker(self._engine)
        names = {entry.name for entry in module.imports if entry.name is not None}
        link_world(linker, store, world, names=names, defects=defects)
        instance: Instance | None = None
        failure: Trap | WasmtimeError | None = None
        try:
            # A stop that came before the deadline was set has ticked in vain.
            if not self._is_stopped:
                instance = linker.instantiate(store, module)
                _enter(store, instance, world, self._program)
        except (Trap, WasmtimeError) as error:
            failure = error
        if defects:
            raise defects[0]
        end, reason = self._end(instance, world, failure)
        return Ending(
            end=end,
            reason=reason,
            exit_code=world.exit_code,
            output=bytes(world.output),
            logs=bytes(world.logs),
            cut_log_bytes=world.cut_log_bytes,
            fuel_used=self._program.fuel - store.get_fuel(),
            is_memory_full=instance is not None and _is_full(store, instance, self._program.memory_bytes),
            refusals=tuple(world.refusals),
        )

    def _new_world(self, store: Store) -> WasiWorld:
        program = self._program
        return WasiWorld(
            memory=GuestMemory(None, store),
            arguments=program.arguments,
            stdin=program.stdin,
            files=program.files,
            now_nanoseconds=program.now_nanoseconds,
            seed=program.seed,
            most_output_bytes=program.most_output_bytes,
            most_log_bytes=program.most_log_bytes,
            end=self._engine.increment_epoch,
        )

    @staticmethod
    def _end(instance: Instance | None, world: WasiWorld, failure: Trap | WasmtimeError | None) -> tuple[End, str]:
        if world.output_overflowed:
            return End.OUTPUT_OVERFLOWED, ""
        if world.exit_code is not None:
            return End.EXITED, f"it left with exit code {world.exit_code}"
        if failure is None:
            return (End.STOPPED, "") if instance is None else (End.RETURNED, "")
        if isinstance(failure, Trap):
            code = failure.trap_code
            words = code.name.lower().replace("_", " ") if code is not None else "for no reason that it gives"
            return _ENDS.get(code, End.CRASHED), f"it trapped ({words})"
        exceeds = "exceeds memory limits" in str(failure)
        return (End.OUT_OF_MEMORY, "") if exceeds else (End.NOT_LINKABLE, str(failure))


def _problem_of(module: Module, program: Program) -> Ending | None:
    """What keeps a module from being run at all."""
    foreign = sorted(f"{entry.module}.{entry.name}" for entry in module.imports if entry.module != WASI)
    if foreign:
        return Ending(end=End.NOT_LINKABLE, reason=f"it imports {', '.join(foreign[:5])}; there is {WASI} only")
    exports = {entry.name: entry.type for entry in module.exports}
    memory = exports.get("memory")
    if isinstance(memory, MemoryType) and memory.limits.min * _PAGE_BYTES > program.memory_bytes:
        return Ending(end=End.OUT_OF_MEMORY)
    if not isinstance(exports.get(program.entry.value), FuncType):
        return Ending(end=End.NO_ENTRY)
    return None


def _enter(store: Store, instance: Instance, world: WasiWorld, program: Program) -> None:
    exports = instance.exports(store)
    memory = exports.get("memory")
    if isinstance(memory, Memory):
        world.memory = GuestMemory(memory, store)
    if program.entry is Entry.COMMAND:
        _call(store, instance, Entry.COMMAND)
        return
    _call(store, instance, "_initialize")
    pointers = [_put(store, instance, world, argument + b"\x00") for argument in program.arguments]
    table = _put(store, instance, world, struct.pack(f"<{len(pointers)}I", *pointers))
    _call(store, instance, Entry.QUICKJS, len(pointers), table)


def _call(store: Store, instance: Instance, name: str, *arguments: int) -> Any:
    function = instance.exports(store)[name]
    if not isinstance(function, Func):
        raise WasmtimeError(f"its export {name!r} is not a function")
    return function(store, *arguments)


def _put(store: Store, instance: Instance, world: WasiWorld, content: bytes) -> int:
    """Where in the guest's memory `content` is put."""
    address = int(_call(store, instance, "malloc", len(content))) & 0xFFFF_FFFF
    world.memory.write(address, content)
    return address


def _is_full(store: Store, instance: Instance, memory_bytes: int) -> bool:
    memory = instance.exports(store).get("memory")
    return isinstance(memory, Memory) and memory.data_len(store) + _PAGE_BYTES > memory_bytes
