"""Which settings each process of the stack gets: what it reads, and nothing else.

Every field of agentflow.settings.Settings stands in exactly one of the sets; a test holds that.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class StackProcess(StrEnum):
    """A process of ours, with settings; Temporal and the model server take options and no setting."""

    API = "api"
    WORKER = "worker"


_SHARED: Final = frozenset(
    (
        # Where the data and Temporal are.
        *("database_url", "db_host", "db_port", "db_user", "db_password", "db_database", "db_ssl_mode", "db_pool_size"),
        *("temporal_address", "temporal_namespace", "temporal_tls", "temporal_ui_url", "environment"),
        # What both write and read in Temporal and in the store of content.
        *("payload_keys", "payload_key_id", "payloads_accepted", "blob_store_url", "blob_inline_bytes"),
        *("blob_s3_endpoint", "blob_s3_region", "blob_s3_access_key_id", "blob_s3_secret_access_key"),
        # By which documents are compiled and runs admitted, and by which they are executed.
        *("models", "unpriced_ceiling_micro_usd", "llm_provider_queues", "mcp_servers"),
        *("max_running_runs", "max_running_runs_per_org", "max_queued_runs_per_org", "highest_priority"),
        *("otel_exporter_otlp_endpoint", "otel_service_name", "log_level", "log_format"),
    )
)
_API_ALONE: Final = frozenset(
    (
        *("api_host", "api_port", "codec_endpoint_key"),
        *("api_head_seconds", "api_body_seconds", "api_max_connections", "event_keep_hours"),
    )
)
_WORKER_ALONE: Final = frozenset(
    (
        *("vault_key", "openai_api_key", "openai_base_url", "anthropic_api_key", "anthropic_base_url"),
        *("local_model_url", "rate_limits", "tool_secrets", "buckets", "files_directory"),
        *("http_allowed_hosts", "http_allowed_ports"),
        *("max_document_bytes", "reader_memory_bytes", "sandbox_cache_directory", "sandbox_concurrency"),
        *("worker_metrics_port", "worker_metrics_host", "worker_grace_seconds"),
        *("worker_runs_slots", "worker_llm_slots", "worker_tools_slots"),
        *("blob_grace_hours", "run_retention_days"),
    )
)
#: They would send the stack's processes to another Temporal, or with another identity, than the embedded one; or have
#: its worker wait, as a build that nobody promotes.
NOT_OF_THE_STACK: Final = frozenset(
    (
        *("temporal_api_key", "temporal_tls_cert", "temporal_tls_key", "temporal_tls_ca", "temporal_tls_server_name"),
        *("worker_deployment", "worker_build_id"),
    )
)

SETTINGS_OF: Final[Mapping[StackProcess, frozenset[str]]] = {
    StackProcess.API: _SHARED | _API_ALONE,
    StackProcess.WORKER: _SHARED | _WORKER_ALONE,
}
