"""The one way to Temporal: a local server, a self-hosted cluster or Temporal Cloud, as the settings say."""

from urllib.parse import quote

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RetryConfig

from agentflow.payload_cipher import open_payload_cipher
from agentflow.settings import Settings
from workflows.history_limits import BoundedFailureConverter, BoundedPayloadConverter, SealedFailureConverter
from workflows.payload_codec import EncryptingCodec

#: How long a call through a lazy client is repeated while Temporal is away: somebody waits for its answer.
_PATIENCE_MILLISECONDS = 2_000


async def connect_temporal(settings: Settings, *, lazy: bool = False) -> Client:
    """A client; a lazy one connects at its first use, and gives a call up after two seconds of nobody there.

    Raises ConfigurationError for keys that cannot be, and RuntimeError when no server answers at TEMPORAL_ADDRESS; a
    lazy client raises it when it is used.
    """
    api_key = settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=api_key,
        tls=settings.temporal_tls or api_key is not None,
        lazy=lazy,
        retry_config=RetryConfig(max_elapsed_time_millis=_PATIENCE_MILLISECONDS) if lazy else None,
        data_converter=data_converter(settings),
    )


def data_converter(settings: Settings) -> DataConverter:
    """How values become payloads: bounded, and sealed when there are keys for it. Raises ConfigurationError."""
    cipher = open_payload_cipher(settings)
    return DataConverter(
        payload_converter_class=BoundedPayloadConverter,
        payload_codec=EncryptingCodec(cipher) if cipher is not None else None,
        failure_converter_class=BoundedFailureConverter if cipher is None else SealedFailureConverter,
    )


def run_url(settings: Settings, run_id: str) -> str | None:
    """The run's page in Temporal's Web UI; None when TEMPORAL_UI_URL is not set."""
    if not settings.temporal_ui_url:
        return None
    base, namespace = settings.temporal_ui_url.rstrip("/"), quote(settings.temporal_namespace, safe="")
    return f"{base}/namespaces/{namespace}/workflows/{quote(run_id, safe='')}"
