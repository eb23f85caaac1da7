"""Binds the functions of a guest's world to the names and types that WebAssembly modules import them by."""

from collections.abc import Callable

from wasmtime import FuncType, Linker, Store, ValType

from activities.sandbox.guest_memory import BadAddress
from activities.sandbox.wasi_world import Errno, WasiWorld

WASI = "wasi_snapshot_preview1"
#: What every call costs: about its time, which is ours and that WebAssembly's own counting does not see.
CALL_FUEL = 40_000

#: Parameters of every function of WASI preview 1: `i` for 32 bits and `I` for 64. All but proc_exit give an errno.
_PARAMETERS = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "clock_res_get": "ii",
    "clock_time_get": "iIi",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_close": "i",
    "fd_datasync": "i",
    "fd_fdstat_get": "ii",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_prestat_dir_name": "iii",
    "fd_prestat_get": "ii",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_seek": "iIii",
    "fd_sync": "i",
    "fd_tell": "ii",
    "fd_write": "iiii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "poll_oneoff": "iiii",
    "proc_exit": "i",
    "proc_raise": "i",
    "random_get": "ii",
    "sched_yield": "",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}
#: Asked for by every libc on the way, and answered with no by any system without such files: not worth a note.
_REFUSED_QUIETLY = frozenset({"fd_advise", "fd_datasync", "fd_sync", "fd_fdstat_set_flags", "fd_fdstat_set_rights"})
_MASKS = {"i": 0xFFFF_FFFF, "I": 0xFFFF_FFFF_FFFF_FFFF}


class HostDefects(list[Exception]):
    """What went wrong in functions of ours while a guest ran.

    They are kept here and never raised through WebAssembly: wasmtime's binding holds a raised exception in a global
    variable, where the run of another thread may pick it up.
    """


def link_world(linker: Linker, store: Store, world: WasiWorld, *, names: set[str], defects: HostDefects) -> None:
    """Defines the functions of WASI preview 1 that are among `names`, as `world` answers them."""
    for name in sorted(names & _PARAMETERS.keys()):
        parameters = _PARAMETERS[name]
        results = [] if name == "proc_exit" else [ValType.i32()]
        function_type = FuncType([ValType.i64() if kind == "I" else ValType.i32() for kind in parameters], results)
        answer = getattr(world, name, None) or _refusal(world, name)
        linker.define_func(WASI, name, function_type, _guarded(answer, parameters, store, world, defects))


def _refusal(world: WasiWorld, name: str) -> Callable[..., Errno]:
    if name in _REFUSED_QUIETLY:
        return lambda *_: Errno.NOSYS
    return lambda *_: world.refuse(name)


def _guarded(
    answer: Callable[..., Errno | None], parameters: str, store: Store, world: WasiWorld, defects: HostDefects
) -> Callable[..., int | None]:
    masks = [_MASKS[kind] for kind in parameters]
    has_result = answer != world.proc_exit

    def call(*numbers: int) -> int | None:
        try:
            if world.is_over:
                outcome: Errno | None = Errno.NOSYS
            else:
                store.set_fuel(max(0, store.get_fuel() - CALL_FUEL))
                outcome = answer(*(number & mask for number, mask in zip(numbers, masks, strict=True)))
        except BadAddress:
            outcome = Errno.FAULT
        except Exception as error:  # noqa: BLE001  # the edge to WebAssembly, which nothing may be raised through
            defects.append(error)
            world.proc_exit(1)
            outcome = Errno.NOSYS
        return int(outcome or Errno.SUCCESS) if has_result else None

    return call
