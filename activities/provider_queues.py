"""Task queues of single providers: their calls, and their workers, apart from those of others."""

from collections.abc import Collection

from activities.payloads import LLM_QUEUE
from runs.plan import Leaf


def provider_queue(provider: str) -> str:
    """The task queue of a provider's pinned calls."""
    return f"{LLM_QUEUE}-{provider}"


def queue_of(leaf: Leaf, own_queues: Collection[str]) -> str | None:
    """The task queue of a leaf's model calls when that is its provider's own.

    A leaf that is not pinned to a model gets its provider from routing, when a worker has it already: it waits in the
    queue that all providers share.
    """
    model = leaf.parameters.model if leaf.parameters is not None else None
    provider = model.partition("/")[0] if model is not None else None
    return provider_queue(provider) if provider is not None and provider in own_queues else None
