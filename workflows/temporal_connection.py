"""The one way to Temporal: a local server, a self-hosted cluster or Temporal Cloud, as the settings say."""

import ipaddress
from pathlib import Path
from urllib.parse import quote

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RetryConfig, TLSConfig

from agentflow.errors import ConfigurationError
from agentflow.payload_cipher import open_payload_cipher
from agentflow.settings import Settings
from workflows.attribute_registry import AttributeRegistry
from workflows.history_limits import BoundedFailureConverter, BoundedPayloadConverter, SealedFailureConverter
from workflows.payload_codec import EncryptingCodec

#: How long a call through a lazy client is repeated while Temporal is away: somebody waits for its answer.
_PATIENCE_MILLISECONDS = 2_000


async def connect_temporal(settings: Settings, *, lazy: bool = False) -> Client:
    """A client; a lazy one connects at its first use, and gives a call up after two seconds of nobody there.

    Raises ConfigurationError for keys and certificates that cannot be, or that production must have, and RuntimeError
    when no server answers at TEMPORAL_ADDRESS; a lazy client raises it when it is used.
    """
    check_production(settings)
    api_key = settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None
    certificates = _certificates(settings)
    registry = AttributeRegistry()
    client = await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=api_key,
        tls=certificates or settings.temporal_tls or api_key is not None,
        lazy=lazy,
        retry_config=RetryConfig(max_elapsed_time_millis=_PATIENCE_MILLISECONDS) if lazy else None,
        data_converter=data_converter(settings),
        interceptors=[registry],
    )
    registry.bind(client)
    return client


def data_converter(settings: Settings) -> DataConverter:
    """How values become payloads: bounded, and sealed when there are keys for it. Raises ConfigurationError."""
    cipher = open_payload_cipher(settings)
    return DataConverter(
        payload_converter_class=BoundedPayloadConverter,
        payload_codec=EncryptingCodec(cipher, accepted=settings.payloads_accepted) if cipher is not None else None,
        failure_converter_class=BoundedFailureConverter if cipher is None else SealedFailureConverter,
    )


def check_production(settings: Settings) -> None:
    """Raises ConfigurationError where whoever reaches Temporal could read and command runs, and that is no trial."""
    if not is_production(settings):
        return
    missing = []
    if settings.temporal_api_key is None and settings.temporal_tls_cert is None:
        missing.append(
            "a way to say who it is to Temporal (TEMPORAL_API_KEY, or TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY)"
        )
    if not settings.payload_keys:
        missing.append("keys to encrypt what Temporal keeps (PAYLOAD_KEYS and PAYLOAD_KEY_ID)")
    if missing:
        why = (
            "ENVIRONMENT is production"
            if settings.environment == "production"
            else f"TEMPORAL_ADDRESS {settings.temporal_address!r} is not this machine"
        )
        raise ConfigurationError(
            f"{why}, and these are missing: {'; '.join(missing)}; set them, "
            "or ENVIRONMENT=development where nobody else reaches Temporal"
        )


def is_production(settings: Settings) -> bool:
    """What ENVIRONMENT says; where it says nothing, whether Temporal is on another machine."""
    if settings.environment is not None:
        return settings.environment == "production"
    host = settings.temporal_address.rpartition(":")[0].strip("[]") or settings.temporal_address
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def run_url(settings: Settings, run_id: str) -> str | None:
    """The run's page in Temporal's Web UI; None when TEMPORAL_UI_URL is not set."""
    if not settings.temporal_ui_url:
        return None
    base, namespace = settings.temporal_ui_url.rstrip("/"), quote(settings.temporal_namespace, safe="")
    return f"{base}/namespaces/{namespace}/workflows/{quote(run_id, safe='')}"


def _certificates(settings: Settings) -> TLSConfig | None:
    """The client's certificate, and the authority that signed the server's; None when there are neither."""
    cert, key, authority = settings.temporal_tls_cert, settings.temporal_tls_key, settings.temporal_tls_ca
    if (cert is None) != (key is None):
        raise ConfigurationError("TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY belong together; set both or neither")
    if cert is None and authority is None:
        return None
    return TLSConfig(
        client_cert=_read(cert, "TEMPORAL_TLS_CERT"),
        client_private_key=_read(key, "TEMPORAL_TLS_KEY"),
        server_root_ca_cert=_read(authority, "TEMPORAL_TLS_CA"),
        domain=settings.temporal_tls_server_name,
    )


def _read(path: Path | None, setting: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{setting} {str(path)!r} cannot be read ({error.strerror}); name a PEM file"
        ) from error
