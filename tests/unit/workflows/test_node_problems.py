import pytest

from tests.unit.workflows.sample_catalog import node, problems_of, workflow


def _map_of(body: str, config: str) -> str:
    return workflow(node("a"), f"- {{id: each, type: map, config: {{over: inputs.list, {config}, body: {body}}}}}\n")


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("batch: 0", ".batch"),
        ("batch: 1001", ".batch"),
        ("max_items: 1000001", ".max_items"),
        ("tolerate: {percent: 101}", ".tolerate.percent"),
        ("tolerate: {count: -1}", ".tolerate.count"),
        ("tolerate: {share: 1}", ".tolerate.share"),
    ],
)
def test_a_map_that_has_no_bounds_is_told_with_its_place(config: str, place: str) -> None:
    (problem,) = problems_of(_map_of("{type: function, config: {function_name: collect}}", config))

    assert f"$.nodes[1].config{place}" == problem.path


def test_only_functions_are_worked_on_in_batches() -> None:
    (problem,) = problems_of(_map_of("{type: tool, config: {tool_name: echo}}", "batch: 5"))

    assert ("unusable_batch", "$.nodes[1].config.batch") == (problem.code, problem.path)


def test_only_functions_whose_output_is_an_item_are_reduced_as_trees() -> None:
    mapped = _map_of("{type: function, config: {function_name: now}}", "fan_in: 3")
    (problem,) = problems_of(mapped.replace("type: map", "type: reduce"))

    assert ("unusable_fan_in", "$.nodes[1].config.fan_in") == (problem.code, problem.path)
    assert not problem.breaks_the_plan
    assert "collect" in problem.message


@pytest.mark.parametrize(
    ("config", "place", "words"),
    [
        ("language: ruby, source: x", ".language", "python"),
        ("language: python", "", "a `source`"),
        ("language: python, module: AAAA", "", "a `source`"),
        ("language: wasm, source: x", "", "`module`"),
        ("language: wasm, module: '!'", "", "not base64"),
        ("language: wasm, module: AAAA", "", "WebAssembly"),
        ("language: python, source: x, clock: noon", ".clock", "instant"),
        ("language: python, source: x, clock: '2026-01-02T03:04:05'", ".clock", "offset"),
        ("language: python, source: x, limits: {fuel: 1}", ".limits.fuel", "1000000"),
        ("language: python, source: x, limits: {memory: 1}", ".limits.memory", "memory_bytes"),
    ],
)
def test_code_that_cannot_run_is_told_with_its_place(config: str, place: str, words: str) -> None:
    (problem,) = problems_of(workflow(f"- {{id: a, type: code, config: {{{config}}}}}\n"))

    assert f"$.nodes[0].config{place}" == problem.path
    assert words in problem.message


@pytest.mark.parametrize(
    ("config", "place", "words"),
    [
        ("show: {x: inputs.x}", ".message", "missing"),
        ("message: Go?, show: {x: nope.output}", ".show.x", "nope"),
        ("message: 'Go {{ nope.output }}?'", ".message", "nope"),
        ("message: Go?, on_timeout: continue", ".on_timeout", "approve"),
        ("message: Go?, escalate: [{after: 2h, approvers: [a]}, {after: 1h, approvers: [b]}]", "", "soonest"),
        ("message: Go?, timeout: 1h, escalate: [{after: 1h, approvers: [a]}]", "", "timeout"),
        ("message: Go?, escalate: [{after: 1h, approvers: []}]", ".escalate[0].approvers", "at least 1"),
    ],
)
def test_an_approval_that_cannot_be_is_told_with_its_place(config: str, place: str, words: str) -> None:
    (problem,) = problems_of(workflow(f"- {{id: a, type: approval, config: {{{config}}}}}\n"))

    assert f"$.nodes[0].config{place}" == problem.path
    assert words in problem.message


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("", "one of"),
        ("for: 1m, event: x", "one of"),
        ("for: 1m, timeout: 1m", "`event`"),
        ("until: 'nope.output'", "nope"),
        ("event: '{{ nope.output }}'", "nope"),
        ("for: soon", "duration"),
    ],
)
def test_a_wait_that_cannot_be_is_told(config: str, words: str) -> None:
    (problem,) = problems_of(workflow(f"- {{id: a, type: wait, config: {{{config}}}}}\n"))

    assert problem.path.startswith("$.nodes[0].config")
    assert words in problem.message
