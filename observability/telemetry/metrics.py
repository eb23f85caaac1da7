"""Prometheus metrics: figures that add up over processes. No label names a tenant, a run or anything unbounded."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from agentflow.money import MicroUsd
from observability.telemetry import attributes as names

_STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def _prometheus_name(name: str) -> str:
    """`gen_ai.client.token.usage` → `gen_ai_client_token_usage`, as OpenTelemetry maps names to Prometheus."""
    return name.replace(".", "_")


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        model_labels = [_prometheus_name(n) for n in (names.OPERATION_NAME, names.PROVIDER_NAME, names.REQUEST_MODEL)]
        self._token_usage = Histogram(
            _prometheus_name(names.METRIC_TOKEN_USAGE),
            "Tokens of a model call, by type (input, output).",
            [*model_labels, _prometheus_name(names.TOKEN_TYPE)],
            buckets=names.TOKEN_USAGE_BUCKETS,
            registry=self._registry,
        )
        self._operation_duration = Histogram(
            _prometheus_name(names.METRIC_OPERATION_DURATION),
            "Seconds that a model call took; error_type is empty when it succeeded.",
            [*model_labels, _prometheus_name(names.ERROR_TYPE)],
            unit="seconds",
            buckets=names.OPERATION_DURATION_BUCKETS,
            registry=self._registry,
        )
        self._spend = self._counter(
            "agentflow_spend_micro_usd", "Money spent, in millionths of a US dollar.", "provider", "model"
        )
        self._steps = self._counter("agentflow_steps", "Attempts of steps that ended.", "kind", "state")
        self._step_duration = Histogram(
            "agentflow_step_duration_seconds",
            "Seconds that an attempt of a step took.",
            ["kind"],
            buckets=_STEP_BUCKETS,
            registry=self._registry,
        )
        self._runs = self._counter("agentflow_runs", "Runs that reached a state.", "state")
        self._doubts = self._counter(
            "agentflow_steps_in_doubt", "Steps whose effect nobody knows, so that a person must say.", "effect_class"
        )
        self._resolved_doubts = self._counter(
            "agentflow_doubts_resolved", "Steps in doubt that a person has resolved.", "resolution"
        )
        self._cache_lookups = self._counter("agentflow_cache_lookups", "Look-ups of cached model answers.", "result")
        self._http_requests = self._counter(
            "agentflow_http_requests", "HTTP requests answered.", "method", "route", "status"
        )
        self._http_duration = Histogram(
            "agentflow_http_request_duration_seconds",
            "Seconds until an HTTP request was answered.",
            ["method", "route"],
            buckets=_REQUEST_BUCKETS,
            registry=self._registry,
        )

    def record_model_call(
        self,
        *,
        provider: str,
        model: str,
        duration_seconds: float,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cost_micro_usd: MicroUsd = MicroUsd(0),
        error_type: str | None = None,
    ) -> None:
        """Counts a call that went to a provider; `model` is the requested one, which routing bounds."""
        self._operation_duration.labels(names.CHAT, provider, model, error_type or "").observe(duration_seconds)
        if input_tokens is not None:
            self._token_usage.labels(names.CHAT, provider, model, "input").observe(input_tokens)
        if output_tokens is not None:
            self._token_usage.labels(names.CHAT, provider, model, "output").observe(output_tokens)
        self._spend.labels(provider, model).inc(cost_micro_usd)

    def record_step(self, *, kind: str, state: str, duration_seconds: float) -> None:
        """Counts an attempt of a step that ended in `state`; called by activities, so never by a replay."""
        self._steps.labels(kind, state).inc()
        self._step_duration.labels(kind).observe(duration_seconds)

    def record_run(self, *, state: str) -> None:
        """Counts a run that reached `state`."""
        self._runs.labels(state).inc()

    def record_doubt(self, *, effect_class: str) -> None:
        """Counts a step whose effect may have happened or not."""
        self._doubts.labels(effect_class).inc()

    def record_resolved_doubt(self, *, resolution: str) -> None:
        """Counts a person's word on a step in doubt."""
        self._resolved_doubts.labels(resolution).inc()

    def record_cache_lookup(self, *, result: Literal["hit", "miss"]) -> None:
        """Counts a look-up of a cached answer."""
        self._cache_lookups.labels(result).inc()

    def record_http_request(self, *, method: str, route: str, status: int, duration_seconds: float) -> None:
        """Counts a request; `route` is the path's template, and one constant for paths that match none.

        A method that HTTP does not know counts as `_OTHER`: clients may invent any number of them.
        """
        method = method if method in _HTTP_METHODS else "_OTHER"
        self._http_requests.labels(method, route, str(status)).inc()
        self._http_duration.labels(method, route).observe(duration_seconds)

    def render(self) -> tuple[bytes, str]:
        """The metrics in Prometheus's text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def serve(self, *, host: str, port: int) -> None:
        """Answers `GET /metrics` on a thread of its own, for a process that has no other HTTP server.

        Raises OSError when the port is taken.
        """
        start_http_server(port, addr=host, registry=self._registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        """A counter; `_total` is added to its name when it is rendered."""
        return Counter(name, documentation, labels, registry=self._registry)
