"""The one way in which modules are compiled and run: what a compiled module was made for is part of its name."""

import platform
from importlib.metadata import version

from wasmtime import Config, Engine

from agentflow.digest import keyed_digest

#: Native stack for WebAssembly's calls; threads have 8 MiB where this runs, and at least 1 MiB elsewhere.
_WASM_STACK_BYTES = 512 * 1024
#: Raised with the configuration below.
_CONFIGURATION = "fuel+epoch+deterministic/1"


def new_engine() -> Engine:
    """An engine that counts fuel, stops at an epoch, and gives the same numbers on every machine."""
    config = Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.max_wasm_stack = _WASM_STACK_BYTES
    config.cranelift_nan_canonicalization = True
    config.wasm_relaxed_simd_deterministic = True
    # What no guest needs, and so none gets.
    config.wasm_threads = False
    config.shared_memory = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    config.wasm_gc = False
    config.wasm_function_references = False
    config.wasm_stack_switching = False
    config.wasm_component_model = False
    return Engine(config)


def compiled_name(module_digest: str) -> str:
    """The name of what this wasmtime makes of a module on this machine."""
    made_by = (version("wasmtime"), platform.system(), platform.machine(), _CONFIGURATION)
    return keyed_digest(*made_by, module_digest)
