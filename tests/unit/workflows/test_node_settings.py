import pytest

from tests.unit.workflows.sample_catalog import node, workflow
from tests.unit.workflows.specs import problem_of, spec_of
from workflows.node_configs import LlmConfig, MapConfig


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30", 30.0),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1.5m", 90.0),
        ("2h", 7_200.0),
        ("30d", 2_592_000.0),
        ("' 5s '", 5.0),
        ("1ms", 0.001),
        ("{run: 7s}", 7.0),
    ],
)
def test_a_timeout_is_seconds_or_a_duration(written: str, seconds: float) -> None:
    (first,) = spec_of(workflow(node("a", more=f", timeout: {written}"))).nodes

    assert first.timeout is not None
    assert seconds == first.timeout.run


@pytest.mark.parametrize(
    "written",
    [
        "0", "-5", "-5s", "0s", "31d", "2592001", "1e300", "0.0009", "0.1ms", "1e-300",
        ".nan", ".inf", "nan", "inf", "-inf", "infs", "5 s", "5S", "5s 5s", "s", "''", "1e3s", "true", "[5]", "5w",
        f"{'9' * 400}s", "{run: true}", "{run: -1}", "{run: [1]}",
    ],
)  # fmt: skip
def test_a_timeout_that_is_no_time_is_refused(written: str) -> None:
    problem = problem_of(workflow(node("a", more=f", timeout: {written}")))

    assert "wrong_type" == problem.code
    assert problem.path.startswith("$.nodes[0].timeout")
    assert 3 == problem.line


def test_a_duration_that_cannot_be_read_is_told_how_to_write_one() -> None:
    problem = problem_of(workflow(node("a", more=", timeout: soon")))

    assert "write seconds as a number, or a duration such as 500ms, 30s, 5m, 1h (it is 'soon')" == problem.message


@pytest.mark.parametrize(
    "retry",
    [
        "{attempts: 0}", "{attempts: -1}", "{attempts: 101}", "{attempts: 2.5}", "{attempts: '3'}", "{attempts: true}",
        "{initial: 0}", "{initial: 1e-9}", "{initial: .nan}", "{initial: true}", "{max: -1s}", "{max: 31d}",
        "{factor: 0.5}", "{factor: 11}", "{factor: .nan}", "{factor: .inf}", "{factor: -2}", "3", "[]", "always",
    ],
)  # fmt: skip
def test_a_retry_past_reason_is_refused(retry: str) -> None:
    problem = problem_of(workflow(node("a", more=f", retry: {retry}")))

    assert "wrong_type" == problem.code
    assert problem.path.startswith("$.nodes[0].retry")


@pytest.mark.parametrize(
    "setting",
    [
        "max_tokens: 0", "max_tokens: 200001", "max_tokens: 1.5", "temperature: -0.1", "temperature: 2.1",
        "temperature: .nan", "temperature: .inf", "temperature: hot", "top_p: 0", "top_p: 1.1", "top_p: -.inf",
        "seed: 1.5", "seed: x", "stop: x", "stop: [1]", "stop: [a, b, c, d, e, f, g, h, i]", "stream: 'yes'",
        "model: gpt", "model: '/x'", "model: 'OpenAI/x'", "inputs: []", "output_schema: text", "prompt_ref: ''",
    ],
)  # fmt: skip
def test_a_setting_of_a_model_call_past_its_range_is_refused(setting: str) -> None:
    prompt = "" if setting.startswith("prompt_ref") else "prompt_ref: p@1, "

    problem = problem_of(f"name: x\nnodes:\n- {{id: a, type: llm, config: {{{prompt}{setting}}}}}\n")

    assert "wrong_type" == problem.code
    assert problem.path.startswith(f"$.nodes[0].config.{setting.partition(':')[0]}")


@pytest.mark.parametrize("setting", ["temperature: 0", "temperature: 2", "top_p: 1", "max_tokens: 200000", "seed: -1"])
def test_a_setting_of_a_model_call_at_the_end_of_its_range_is_read(setting: str) -> None:
    spec = spec_of(f"name: x\nnodes:\n- {{id: a, type: llm, config: {{prompt_ref: p@1, {setting}}}}}\n")

    assert spec.nodes[0].leaf is not None
    assert isinstance(spec.nodes[0].leaf.config, LlmConfig)


@pytest.mark.parametrize(
    "policy",
    [
        "quality: gold", "sla_ms: 0", "sla_ms: -1", "sla_ms: 1.5", "pii: keep", "injection: on", "restore: 1",
        "injection_threshold: 0", "injection_threshold: 1.01", "injection_threshold: .nan", "cache: 'no'",
    ],
)  # fmt: skip
def test_a_policy_with_an_unknown_word_or_number_is_refused(policy: str) -> None:
    problem = problem_of(workflow(node("a", more=f", policy: {{{policy}}}")))

    assert ("wrong_type", f"$.nodes[0].policy.{policy.partition(':')[0]}") == (problem.code, problem.path)


@pytest.mark.parametrize("window", ["0", "-1", "201", "1.5", "'4'", "null"])
def test_a_window_past_its_range_is_refused(window: str) -> None:
    body = "{type: function, config: {function_name: collect}}"
    problem = problem_of(
        f"name: x\nnodes:\n- {{id: a, type: map, config: {{over: b, window: {window}, body: {body}}}}}"
    )

    assert ("wrong_type", "$.nodes[0].config.window") == (problem.code, problem.path)


@pytest.mark.parametrize("kind", ["map", "reduce"])
def test_a_body_is_checked_as_what_it_is(kind: str) -> None:
    def with_body(body: str) -> str:
        return f"name: x\nnodes:\n- id: a\n  type: {kind}\n  config:\n    over: b\n    body: {body}\n"

    spec = spec_of(with_body("{type: llm, config: {prompt_ref: p@1}}"))
    problem = problem_of(with_body("{type: tool, config: {prompt_ref: p@1, tool_name: t}}"))
    nested = problem_of(with_body("{type: approval, config: {}}"))

    leaf = spec.nodes[0].leaf
    assert leaf is not None
    assert LlmConfig(prompt_ref="p@1") == leaf.config
    assert kind == ("map" if isinstance(spec.nodes[0].settings, MapConfig) else "reduce")
    assert ("unknown_field", "$.nodes[0].config.body.config.prompt_ref", 7) == (
        problem.code, problem.path, problem.line
    )  # fmt: skip
    assert ("wrong_type", "$.nodes[0].config.body.type") == (nested.code, nested.path)
