"""What the users of the suite run: a mix of shapes, each a document and what its user does besides waiting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from bench.chaos import documents
from bench.chaos.counting_model import letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A kind of run: its document, how often it is run, and what its user does besides waiting."""

    name: str
    document: Mapping[str, Any]
    #: Of a hundred runs about this many.
    weight: int
    approves: bool = False
    #: Says what became of steps in doubt, truly.
    resolves: bool = False
    delivers: bool = False
    cancels: bool = False
    #: Cancels it once this node is under way, which is soon after its start otherwise.
    cancels_at: str | None = None
    #: Pauses it, and lets it go on a little later.
    pauses: bool = False
    #: What it has done is taken back.
    takes_back: bool = False
    fails: bool = False
    #: Runs it again from this node once it has ended.
    reruns_from: str | None = None
    #: Runs it again for its failed items once it has ended.
    redrives: bool = False
    #: Its runs take seconds of a core each.
    is_heavy: bool = False

    @property
    def ends(self) -> str:
        """The state in which its runs end."""
        if self.cancels:
            return "cancelled"
        return "failed" if self.fails else "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run that a user wants."""

    number: int
    shape: Shape
    inputs: Mapping[str, Any]

    @property
    def tag(self) -> str:
        """Whose calls these are, for those whom they reach."""
        return str(self.inputs["tag"])

    @property
    def key(self) -> str:
        """The idempotency key: with it the run is submitted until it is accepted."""
        return f"chaos-{self.number}"


def job(number: int, shape: Shape) -> Job:
    """The number makes the inputs of a run its own; what it computes does not depend on it."""
    return Job(number=number, shape=shape, inputs={"tag": letters(number), "items": [0, 1, 2]})


def jobs(random: Random, shapes: Sequence[Shape], count: int) -> list[Job]:
    """A mix of `shapes`: each at least once when there is room for it."""
    mixed = list(shapes[:count])
    mixed += random.choices(shapes, weights=[shape.weight for shape in shapes], k=count - len(mixed))
    random.shuffle(mixed)
    return [job(number, shape) for number, shape in enumerate(mixed, start=1)]


def shape_of(name: str) -> Shape:
    return next(shape for shape in SHAPES if shape.name == name)


SHAPES: tuple[Shape, ...] = (
    Shape(name="chain", document=documents.CHAIN, weight=24),
    Shape(name="document", document=documents.DOCUMENT, weight=18),
    Shape(name="batch", document=documents.BATCH, weight=14),
    Shape(name="mishaps", document=documents.MISHAPS, weight=12),
    Shape(name="gates", document=documents.GATES, weight=12, approves=True, delivers=True),
    Shape(name="fan", document=documents.FAN, weight=8),
    Shape(name="rerun", document={**documents.CHAIN, "name": "chaos_rerun"}, weight=6, reruns_from="final"),
    Shape(name="cancel", document=documents.CANCEL, weight=4, cancels=True),
    Shape(name="effects", document=documents.EFFECTS, weight=16, resolves=True),
    Shape(name="doubts", document=documents.DOUBTS, weight=4, resolves=True),
    Shape(name="composite", document=documents.COMPOSITE, weight=8),
    Shape(name="agent", document=documents.AGENT, weight=8, resolves=True),
    Shape(name="tool_server", document=documents.TOOL_SERVER, weight=6, resolves=True),
    Shape(name="compensated", document=documents.COMPENSATED, weight=6, resolves=True, takes_back=True, fails=True),
    Shape(
        name="cancelled",
        document=documents.CANCELLED,
        weight=4,
        resolves=True,
        takes_back=True,
        cancels=True,
        cancels_at="long",
    ),
    Shape(name="pause", document={**documents.CHAIN, "name": "chaos_pause"}, weight=6, pauses=True),
    Shape(name="redrive", document=documents.REDRIVEN, weight=4, redrives=True),
    Shape(name="sharded", document=documents.SHARDED, weight=2, is_heavy=True),
)
