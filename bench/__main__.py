"""`python -m bench`: the interpreter's tax and the overhead of an llm step. Takes about two minutes."""

from bench.bench_stack import run_bench
from bench.interpreter_tax import interpreter_ratios
from bench.llm_overhead import llm_overheads


async def measure(environment: dict[str, str]) -> dict[str, float]:
    ratios = await interpreter_ratios(environment)
    return {**ratios, **await llm_overheads(environment)}


if __name__ == "__main__":
    run_bench(measure)
