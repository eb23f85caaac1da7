"""What maps, their batches and their shards travel as between workflows and activities."""

from dataclasses import dataclass, field
from typing import Any

from activities.payloads import RunRef, SkeletonNode

COLLECT_ITEMS = "collect_items"
OPEN_MAP = "open_map"
RUN_BATCH = "run_batch"
CLOSE_MAP = "close_map"
#: Steps of a map that run in the history of its own workflow: its events stay far below Temporal's limits.
MAX_INLINE_ITEMS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMapCall:
    """The items of a large map to lay in pages."""

    run: RunRef
    node_id: str
    outputs: dict[str, str | None]
    generation: int = 0
    #: The run whose finished items are taken over, and what the items' steps will be called with.
    redrive_of: str | None = None
    item_outputs: dict[str, str | None] = field(default_factory=dict)
    prompt: str | None = None
    item_local: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedMap:
    """A large map: where its items are."""

    map_id: int
    item_count: int
    #: The digest of the paged list of its items; a page is a batch.
    pages: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCall:
    """One batch of a map's items to work on."""

    run: RunRef
    node_id: str
    outputs: dict[str, str | None]
    map_id: int
    pages: str
    batch: int
    generation: int = 0
    #: What its expressions see besides.
    local: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """How the items of a batch ended."""

    succeeded: int
    failed: int = 0
    #: Of the first that failed.
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseMapCall:
    """The results of a large map to gather."""

    run: RunRef
    node_id: str
    opened: OpenedMap
    generation: int = 0
    #: Items that nothing is recorded of are null, and have failed; else they are an error.
    allow_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectCall:
    """The outputs of a map's items to gather into one list."""

    run: RunRef
    node_id: str
    item_count: int
    generation: int = 0
    #: Items without an output are null; else they are an error.
    allow_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStart:
    """The argument of the `MapShard` workflow: a range of a large map's steps."""

    run: RunRef
    node: SkeletonNode
    outputs: dict[str, str | None]
    opened: OpenedMap
    #: A step is a batch, or one item.
    first_step: int
    step_count: int
    window: int
    #: More failed items than this end the map.
    allowed_failures: int
    generation: int = 0
    is_paused: bool = False
    #: What its expressions see besides.
    local: dict[str, Any] = field(default_factory=dict)
