from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agentflow.money import MicroUsd
from observability.telemetry.metrics import Metrics


def _samples(metrics: Metrics) -> Iterator[Sample]:
    content, _ = metrics.render()
    for family in text_string_to_metric_families(content.decode()):
        yield from family.samples


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    (value,) = [sample.value for sample in _samples(metrics) if (name, labels) == (sample.name, sample.labels)]
    return value


def test_a_model_call_counts_tokens_seconds_and_money() -> None:
    metrics = Metrics()
    model = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "openai",
        "gen_ai_request_model": "small-1",
    }

    metrics.record_model_call(
        provider="openai",
        model="small-1",
        duration_seconds=0.03,
        input_tokens=17,
        output_tokens=4,
        cost_micro_usd=MicroUsd(120),
    )

    usage = "gen_ai_client_token_usage"
    assert _value(metrics, f"{usage}_sum", **model, gen_ai_token_type="input") == 17
    assert _value(metrics, f"{usage}_bucket", **model, gen_ai_token_type="output", le="4.0") == 1
    assert _value(metrics, f"{usage}_bucket", **model, gen_ai_token_type="input", le="16.0") == 0
    duration = "gen_ai_client_operation_duration_seconds"
    assert _value(metrics, f"{duration}_bucket", **model, error_type="", le="0.02") == 0
    assert _value(metrics, f"{duration}_bucket", **model, error_type="", le="0.04") == 1
    assert _value(metrics, "agentflow_spend_micro_usd_total", provider="openai", model="small-1") == 120


def test_a_call_that_failed_counts_its_time_under_its_error_and_no_tokens() -> None:
    metrics = Metrics()

    metrics.record_model_call(provider="openai", model="small-1", duration_seconds=1.0, error_type="RateLimited")

    names = {sample.name for sample in _samples(metrics) if sample.labels.get("gen_ai_request_model") == "small-1"}
    assert "gen_ai_client_operation_duration_seconds_count" in names
    assert "gen_ai_client_token_usage_count" not in names


def test_doubts_and_what_people_say_of_them_are_counted() -> None:
    metrics = Metrics()

    metrics.record_doubt(effect_class="at_most_once")
    metrics.record_resolved_doubt(resolution="performed")

    assert _value(metrics, "agentflow_steps_in_doubt_total", effect_class="at_most_once") == 1
    assert _value(metrics, "agentflow_doubts_resolved_total", resolution="performed") == 1


def test_steps_runs_look_ups_and_requests_are_counted() -> None:
    metrics = Metrics()

    metrics.record_step(kind="llm", state="committed", duration_seconds=0.2)
    metrics.record_run(state="succeeded")
    metrics.record_cache_lookup(result="hit")
    metrics.record_http_request(method="GET", route="/api/v1/budgets", status=200, duration_seconds=0.004)

    assert _value(metrics, "agentflow_steps_total", kind="llm", state="committed") == 1
    assert _value(metrics, "agentflow_step_duration_seconds_sum", kind="llm") == 0.2
    assert _value(metrics, "agentflow_runs_total", state="succeeded") == 1
    assert _value(metrics, "agentflow_cache_lookups_total", result="hit") == 1
    route = {"method": "GET", "route": "/api/v1/budgets"}
    assert _value(metrics, "agentflow_http_requests_total", **route, status="200") == 1
    assert _value(metrics, "agentflow_http_request_duration_seconds_sum", **route) == 0.004


def test_methods_that_clients_invent_share_one_series() -> None:
    metrics = Metrics()

    for method in ("BREW", "WHEN"):
        metrics.record_http_request(method=method, route="unmatched", status=405, duration_seconds=0.001)

    assert _value(metrics, "agentflow_http_requests_total", method="_OTHER", route="unmatched", status="405") == 2


def test_two_instances_do_not_share_figures() -> None:
    one, other = Metrics(), Metrics()

    one.record_run(state="failed")

    assert not [sample for sample in _samples(other) if sample.name == "agentflow_runs_total"]


def test_the_content_type_is_prometheus_text() -> None:
    _, content_type = Metrics().render()

    assert content_type.startswith("text/plain; version=0.0.4")
