"""The one way to Temporal: a local server, a self-hosted cluster or Temporal Cloud, as the settings say."""

from urllib.parse import quote

from temporalio.client import Client

from agentflow.settings import Settings


async def connect_temporal(settings: Settings, *, lazy: bool = False) -> Client:
    """A client; a lazy one connects at its first use.

    Raises RuntimeError when no server answers at TEMPORAL_ADDRESS; a lazy client raises it when it is used.
    """
    api_key = settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else None
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=api_key,
        tls=settings.temporal_tls or api_key is not None,
        lazy=lazy,
    )


def run_url(settings: Settings, run_id: str) -> str | None:
    """The run's page in Temporal's Web UI; None when TEMPORAL_UI_URL is not set."""
    if not settings.temporal_ui_url:
        return None
    base, namespace = settings.temporal_ui_url.rstrip("/"), quote(settings.temporal_namespace, safe="")
    return f"{base}/namespaces/{namespace}/workflows/{quote(run_id, safe='')}"
