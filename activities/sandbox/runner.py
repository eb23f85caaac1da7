"""Runs code in the sandbox for an event loop that goes on meanwhile."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from activities.sandbox.compiled_modules import CompiledModules
from activities.sandbox.guest import CompiledModuleLost, Ending, Entry, Guest, Program
from activities.sandbox.interpreters import JAVASCRIPT, PYTHON
from activities.sandbox.models import MOST_LOG_BYTES, CodeLanguage, CodeRequest, CodeResult
from activities.sandbox.outcome import ANSWER_OVERHEAD_BYTES, result_of
from agentflow.digest import canonical_json, sha256_hex

DEFAULT_CONCURRENCY = 2


class SandboxRunner:
    """Guests of one worker process; each has a thread, a memory and an engine to itself, and `concurrency` run at once.

    A worker needs up to `concurrency` times a request's `limits.memory_bytes`.
    """

    def __init__(self, cache_directory: Path, *, concurrency: int = DEFAULT_CONCURRENCY) -> None:
        self._modules = CompiledModules(cache_directory)
        self._slots = asyncio.Semaphore(concurrency)
        self._threads = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="sandbox")

    async def run(self, request: CodeRequest) -> CodeResult:
        """What the code gives for its input.

        Raises a CodeError, of which each says how the code failed, and ConfigurationError when this worker cannot
        run code. Cancelling it stops the guest at once.
        """
        digest, read_module = _module_of(request)
        org_id = request.org_id if request.interpreter is None else None
        compiled = await self._modules.path_of(digest, read_module, org_id=org_id)
        try:
            ending, seconds = await self._run_in_a_slot(request, compiled)
        except CompiledModuleLost:
            self._modules.forget(digest, org_id=org_id)
            compiled = await self._modules.path_of(digest, read_module, org_id=org_id)
            ending, seconds = await self._run_in_a_slot(request, compiled)
        return await asyncio.to_thread(result_of, request, ending, seconds=seconds)

    async def warm(self, *languages: CodeLanguage) -> None:
        """Compiles interpreters before the first request does: Python takes some seconds, once for each machine."""
        for language in languages:
            interpreter = {CodeLanguage.PYTHON: PYTHON, CodeLanguage.JAVASCRIPT: JAVASCRIPT}[language]
            await self._modules.path_of(interpreter.module_digest, interpreter.read_module, org_id=None)

    def close(self) -> None:
        """Lets the threads go; a guest that still runs keeps its own until its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run_in_a_slot(self, request: CodeRequest, compiled: Path) -> tuple[Ending, float]:
        async with self._slots:
            guest = Guest(await asyncio.to_thread(_program, request, compiled))
            began = time.perf_counter()
            running = asyncio.get_running_loop().run_in_executor(self._threads, guest.run)
            try:
                await asyncio.wait({running}, timeout=request.limits.wall_seconds)
            finally:
                guest.stop()
                await asyncio.wait({running})
            return running.result(), time.perf_counter() - began


def _module_of(request: CodeRequest) -> tuple[str, Callable[[], bytes]]:
    """The digest of the WebAssembly that runs, and where to read it."""
    if request.interpreter is not None:
        return request.interpreter.module_digest, request.interpreter.read_module
    module = request.module or b""
    return sha256_hex(module), lambda: module


def _program(request: CodeRequest, compiled: Path) -> Program:
    """The request as a guest finds it."""
    arguments: tuple[bytes, ...] = ()
    files: dict[bytes, bytes] = {}
    entry, stdin, overhead = Entry.COMMAND, canonical_json(request.input), 0
    if request.language is CodeLanguage.PYTHON:
        # Isolated, without `site`, without writing bytecode: nothing is there to be found.
        arguments = (b"python", b"-I", b"-S", b"-B", b"-X", b"utf8", b"-c", PYTHON.program_text.encode())
        stdin = canonical_json({"source": request.source, "input": request.input})
        overhead = ANSWER_OVERHEAD_BYTES
    elif request.language is CodeLanguage.JAVASCRIPT:
        arguments = (b"qjs", b"--module", b"--eval", JAVASCRIPT.program_text.encode())
        stdin = json.dumps({"random": _words(request.seed), "input": request.input}, allow_nan=False).encode()
        files = {b"main.js": _javascript_module(request.source or "")}
        entry, overhead = Entry.QUICKJS, ANSWER_OVERHEAD_BYTES
    return Program(
        compiled=compiled,
        entry=entry,
        arguments=arguments,
        stdin=stdin,
        files=files,
        now_nanoseconds=request.now_nanoseconds,
        seed=request.seed,
        fuel=request.limits.fuel,
        memory_bytes=request.limits.memory_bytes,
        most_output_bytes=request.limits.output_bytes + overhead,
        most_log_bytes=MOST_LOG_BYTES,
    )


def _javascript_module(source: str) -> bytes:
    """The source, and a line that hands its `main` over where it is not exported."""
    handing_over = 'if (typeof main === "function") globalThis["agentflow.main"] = main;'
    return f"{source}\n{handing_over}\n".encode("utf-8", errors="surrogatepass")


def _words(seed: int) -> list[int]:
    """Four numbers of 32 bits for JavaScript's generator, which has no other source of randomness."""
    digest = hashlib.sha256(f"Math.random:{seed}".encode()).digest()
    return [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4)]
