"""What goes into the sandbox and what comes out of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from activities.sandbox.bounds import (
    FEWEST_FUEL,
    LEAST_MEMORY_BYTES,
    LEAST_OUTPUT_BYTES,
    LEAST_WALL_SECONDS,
    MOST_FUEL,
    MOST_MEMORY_BYTES,
    MOST_MODULE_BYTES,
    MOST_OUTPUT_BYTES,
    MOST_SOURCE_CHARACTERS,
    MOST_WALL_SECONDS,
)
from activities.sandbox.interpreters import JAVASCRIPT, PYTHON, Interpreter
from agentflow.digest import Json, canonical_json, keyed_digest, sha256_hex

#: Raised when the same request may give another result: what the guest sees of the world has changed.
WORLD_VERSION = 1

#: Logs beyond this are cut, which is no error.
MOST_LOG_BYTES = 64 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


class CodeLanguage(StrEnum):
    """What the code of a node is written in."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    WASM = "wasm"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLimits:
    """How far a run may go. Raises ValueError for a limit outside its bounds, which stand above."""

    #: WebAssembly instructions, roughly; a second of Python is some 8,000,000,000, and starting it 300,000,000.
    fuel: int = 20_000_000_000
    #: Linear memory; Python itself takes 10 MiB, JavaScript 2.4 MiB.
    memory_bytes: int = 256 * 1024 * 1024
    #: From the guest's first instruction; a backstop, since it depends on the machine where fuel does not.
    wall_seconds: float = 30.0
    #: Of the output as JSON.
    output_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        _within("fuel", self.fuel, FEWEST_FUEL, MOST_FUEL)
        _within("memory_bytes", self.memory_bytes, LEAST_MEMORY_BYTES, MOST_MEMORY_BYTES)
        _within("wall_seconds", self.wall_seconds, LEAST_WALL_SECONDS, MOST_WALL_SECONDS)
        _within("output_bytes", self.output_bytes, LEAST_OUTPUT_BYTES, MOST_OUTPUT_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRequest:
    """Code, its input, and all that the guest can learn of the world; raises ValueError when it cannot be run."""

    #: Whose share of the compiler and of its cache a module takes; the same code gives everyone the same output.
    org_id: str
    language: CodeLanguage
    #: Of Python and JavaScript.
    source: str | None = field(default=None, repr=False)
    #: Of WebAssembly.
    module: bytes | None = field(default=None, repr=False)
    input: Json = field(default=None, repr=False)
    #: Every random number that the guest draws follows from it.
    seed: int
    #: What the guest's clock shows, from the first look to the last.
    now: datetime
    limits: CodeLimits = field(default_factory=CodeLimits)

    def __post_init__(self) -> None:
        given = self.module if self.language is CodeLanguage.WASM else self.source
        other = self.source if self.language is CodeLanguage.WASM else self.module
        if given is None or other is not None:
            raise ValueError("a request has a module when its language is wasm, and else a source")
        if self.source is not None and len(self.source) > MOST_SOURCE_CHARACTERS:
            raise ValueError(f"the source has more than {MOST_SOURCE_CHARACTERS:,} characters")
        if self.module is not None and len(self.module) > MOST_MODULE_BYTES:
            raise ValueError(f"the module has more than {MOST_MODULE_BYTES:,} bytes")
        if self.now.tzinfo is None or not _EPOCH <= self.now < _LAST:
            raise ValueError("now is an instant from 1970 to 2199, with its time zone")

    @property
    def interpreter(self) -> Interpreter | None:
        """What runs the source; None for a module, which runs itself."""
        return {CodeLanguage.PYTHON: PYTHON, CodeLanguage.JAVASCRIPT: JAVASCRIPT, CodeLanguage.WASM: None}[
            self.language
        ]

    @property
    def now_nanoseconds(self) -> int:
        """`now` since 1970, as WASI tells time."""
        since = self.now - _EPOCH
        return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000

    def digest(self) -> str:
        """Equal for requests that give equal outputs: the key of a result.

        The wall clock's limit is left out: it says whether an output comes, never which.
        """
        runtime = self.interpreter.digest if self.interpreter is not None else None
        return keyed_digest(
            WORLD_VERSION,
            self.language.value,
            runtime,
            sha256_hex(self.module) if self.module is not None else None,
            sha256_hex(self.source.encode("utf-8", errors="surrogatepass")) if self.source is not None else None,
            sha256_hex(canonical_json(self.input)),
            str(self.seed),
            str(self.now_nanoseconds),
            self.limits.fuel,
            self.limits.memory_bytes,
            self.limits.output_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeResult:
    """What a run gave."""

    output: Json
    #: Of the canonical JSON of the output.
    output_digest: str
    #: What the code printed, cut where it is long.
    logs: str
    fuel_used: int
    seconds: float


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"limits.{name} is {value:,}; it must be from {least:,} to {most:,}")
