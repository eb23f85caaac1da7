import asyncio
from dataclasses import replace

import pytest

from activities.sandbox.models import CodeRequest
from activities.sandbox.runner import SandboxRunner
from agentflow.digest import canonical_json
from tests.unit.activities.sandbox.requests import javascript, python, wasm

OF_PYTHON = """
import os, random, secrets, time, uuid
from datetime import datetime
def main(input):
    print(random.random(), hash("salt"), id(input))
    return [
        random.random(), os.urandom(8).hex(), secrets.token_hex(8), str(uuid.uuid4()), hash("salt"), time.time_ns(),
        datetime.now().isoformat(), list({"a", "b", "c", "d", "e"}), id(object()), random.gauss(0, 1), 0.1 + 0.2,
    ]
"""
OF_JAVASCRIPT = """
export function main(input) {
  console.log(Math.random());
  return [Math.random(), Math.random(), Date.now(), new Date().toString(), Math.sin(1e6), performance.now(), 0.1 + 0.2];
}
"""
#: Eight random bytes and the clock, as a number of JSON.
OF_WASM = """
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $at i32)
    (drop (call $random (i32.const 100) (i32.const 8)))
    (local.set $at (i32.const 100))
    (loop $digits
      (i32.store8 (local.get $at)
        (i32.add (i32.const 49) (i32.rem_u (i32.load8_u (local.get $at)) (i32.const 9))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $digits (i32.lt_u (local.get $at) (i32.const 108))))
    (i32.store (i32.const 0) (i32.const 100))
    (i32.store (i32.const 4) (i32.const 8))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))
"""


@pytest.mark.parametrize(
    "request_", [python(OF_PYTHON), javascript(OF_JAVASCRIPT), wasm(OF_WASM)], ids=lambda it: it.language
)
async def test_the_same_request_gives_the_same_bytes_the_same_logs_and_the_same_fuel(
    runner: SandboxRunner, request_: CodeRequest
) -> None:
    results = await asyncio.gather(*(runner.run(request_) for _ in range(4)))

    assert 1 == len({(canonical_json(result.output), result.logs, result.fuel_used) for result in results})


@pytest.mark.parametrize(
    "request_", [python(OF_PYTHON), javascript(OF_JAVASCRIPT), wasm(OF_WASM)], ids=lambda it: it.language
)
async def test_another_seed_gives_other_random_numbers(runner: SandboxRunner, request_: CodeRequest) -> None:
    one, other = [await runner.run(replace(request_, seed=seed)) for seed in (1, -(2**70))]

    assert one.output != other.output


async def test_random_numbers_of_javascript_are_spread_evenly(runner: SandboxRunner) -> None:
    source = """
function main() {
  const counts = new Array(10).fill(0);
  for (let drawn = 0; drawn < 10000; drawn++) counts[Math.floor(Math.random() * 10)]++;
  return counts;
}
"""
    counts = (await runner.run(javascript(source))).output

    assert isinstance(counts, list)
    assert all(isinstance(count, int) and 850 < count < 1150 for count in counts)
