"""Where the nodes and edges of a DAG are drawn: layers by longest path, few crossings, straight edges; pure.

The method is Sugiyama's (Methods for visual understanding of hierarchical system structures, 1981): layers, a vertex on
every layer that an edge passes, barycentres for the order, and least squares for the places.
"""

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor

#: Rounds of ordering, and of placing; drawings of this size settle sooner.
_ROUNDS = 12
#: How much more the passing of a long edge counts than a node, so that long edges are straight.
_PASSING_WEIGHT = 4.0

#: A node by its id, or the place where an edge (source, target) passes a layer.
_Vertex = str | tuple[str, str, int]
_Layers = list[list[_Vertex]]
_Neighbours = dict[_Vertex, list[_Vertex]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a node is drawn."""

    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """How much is free between nodes of a layer, and between layers."""

    across: int
    down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Where a node is; `x` and `y` are its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePath:
    """The way of an edge, from the lower side of its source down to the upper side of its target."""

    source: str
    target: str
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A drawing without its ink."""

    boxes: Mapping[str, Box]
    edges: tuple[EdgePath, ...]
    width: int
    height: int


def layers_of(upstream: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The nodes by the longest way to them, ordered for few crossings; raises ValueError for a circle."""
    layers, _, _ = _ordered_layers(upstream)
    return [[vertex for vertex in layer if isinstance(vertex, str)] for layer in layers]


def lay_out(sizes: Mapping[str, Size], upstream: Mapping[str, Sequence[str]], spacing: Spacing) -> Layout:
    """The drawing of the graph; `sizes` has a size for each node of `upstream`. Raises ValueError for a circle."""
    layers, above, below = _ordered_layers(upstream)
    widths = {vertex: sizes[vertex].width if isinstance(vertex, str) else 0 for layer in layers for vertex in layer}
    lefts = _placed(layers, above, below, widths, spacing.across)
    tops: list[tuple[int, int]] = []
    next_top = 0
    for layer in layers:
        height = max(sizes[vertex].height for vertex in layer if isinstance(vertex, str))
        tops.append((next_top, height))
        next_top += height + spacing.down
    boxes = {
        vertex: Box(x=lefts[vertex], y=top, width=widths[vertex], height=height)
        for layer, (top, height) in zip(layers, tops, strict=True)
        for vertex in layer
        if isinstance(vertex, str)
    }
    return Layout(
        boxes={node_id: boxes[node_id] for node_id in upstream},
        edges=tuple(
            _path(source, target, boxes, lefts, tops)
            for target, before in upstream.items()
            for source in dict.fromkeys(before)
        ),
        width=max((lefts[vertex] + widths[vertex] for vertex in widths), default=0),
        height=max(next_top - spacing.down, 0),
    )


def _path(
    source: str,
    target: str,
    boxes: Mapping[str, Box],
    lefts: Mapping[_Vertex, int],
    tops: Sequence[tuple[int, int]],
) -> EdgePath:
    start, end = boxes[source], boxes[target]
    points = [(start.x + start.width // 2, start.y + start.height)]
    for number, (top, height) in enumerate(tops):
        if start.y < top < end.y:
            x = lefts[(source, target, number)]
            points += [(x, top), (x, top + height)]
    points.append((end.x + end.width // 2, end.y))
    return EdgePath(source=source, target=target, points=tuple(points))


def _ordered_layers(upstream: Mapping[str, Sequence[str]]) -> tuple[_Layers, _Neighbours, _Neighbours]:
    """Layers with the vertices that long edges pass, and each vertex's neighbours above and below."""
    depths = _depths(upstream)
    layers: _Layers = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for node_id in upstream:
        layers[depths[node_id]].append(node_id)
    above: _Neighbours = {node_id: [] for node_id in upstream}
    below: _Neighbours = {node_id: [] for node_id in upstream}
    for target, before in upstream.items():
        for source in dict.fromkeys(before):
            upper: _Vertex = source
            for number in range(depths[source] + 1, depths[target]):
                passing = (source, target, number)
                layers[number].append(passing)
                _join(upper, passing, above, below)
                upper = passing
            _join(upper, target, above, below)
    return _with_few_crossings(layers, above, below), above, below


def _join(upper: _Vertex, lower: _Vertex, above: _Neighbours, below: _Neighbours) -> None:
    below.setdefault(upper, []).append(lower)
    above.setdefault(lower, []).append(upper)
    below.setdefault(lower, [])


def _depths(upstream: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Node → the length of the longest way to it."""
    waits = {node_id: len(set(before)) for node_id, before in upstream.items()}
    after: dict[str, list[str]] = {node_id: [] for node_id in upstream}
    for node_id, before in upstream.items():
        for source in dict.fromkeys(before):
            after[source].append(node_id)
    depths = {node_id: 0 for node_id, count in waits.items() if count == 0}
    ready = list(depths)
    # The list grows while it is walked: every node is appended once, when the last that it waits for is done.
    for node_id in ready:
        for target in after[node_id]:
            depths[target] = max(depths.get(target, 0), depths[node_id] + 1)
            waits[target] -= 1
            if waits[target] == 0:
                ready.append(target)
    if len(ready) < len(upstream):
        raise ValueError("the graph has a circle, and cannot be drawn in layers")
    return depths


def _with_few_crossings(layers: _Layers, above: _Neighbours, below: _Neighbours) -> _Layers:
    best, fewest = layers, _crossings(layers, below)
    present = layers
    for _ in range(_ROUNDS):
        if fewest == 0:
            break
        present = _swept(present, above)
        present = _swept(present[::-1], below)[::-1]
        crossings = _crossings(present, below)
        if crossings < fewest:
            best, fewest = present, crossings
    return best


def _swept(layers: _Layers, neighbours: _Neighbours) -> _Layers:
    """Each layer in the order of its vertices' mean places in the layer before; ties stay as they were."""
    swept = layers[:1]
    for layer in layers[1:]:
        places = {vertex: place for place, vertex in enumerate(swept[-1])}
        means = {
            vertex: _mean([places[neighbour] for neighbour in neighbours[vertex]], default=place)
            for place, vertex in enumerate(layer)
        }
        swept.append(sorted(layer, key=means.__getitem__))
    return swept


def _mean(values: Sequence[float], *, default: float) -> float:
    return sum(values) / len(values) if values else default


def _crossings(layers: _Layers, below: _Neighbours) -> int:
    """How many pairs of edges cross: inversions of the lower ends, read in the order of the upper ones."""
    crossings = 0
    for upper, lower in pairwise(layers):
        places = {vertex: place for place, vertex in enumerate(lower)}
        seen: list[int] = []
        for vertex in upper:
            ends = sorted(places[target] for target in below[vertex])
            crossings += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return crossings


def _placed(
    layers: _Layers, above: _Neighbours, below: _Neighbours, widths: Mapping[_Vertex, int], gap: int
) -> dict[_Vertex, int]:
    """Left sides: every vertex as near to the middle of its neighbours as order and gaps allow."""
    lefts: dict[_Vertex, float] = {}
    for layer in layers:
        lefts.update(_spread(layer, dict.fromkeys(layer, 0.0), widths, gap))
    for _ in range(_ROUNDS):
        for order, neighbours in ((layers[1:], above), (layers[-2::-1], below)):
            for layer in order:
                wanted = {vertex: _wanted(vertex, neighbours[vertex], lefts, widths) for vertex in layer}
                lefts.update(_spread(layer, wanted, widths, gap))
    leftmost = min(lefts.values(), default=0.0)
    return {vertex: floor(left - leftmost + 0.5) for vertex, left in lefts.items()}


def _wanted(
    vertex: _Vertex, neighbours: Sequence[_Vertex], lefts: Mapping[_Vertex, float], widths: Mapping[_Vertex, int]
) -> float:
    centres = [lefts[neighbour] + widths[neighbour] / 2 for neighbour in neighbours]
    return _mean(centres, default=lefts[vertex] + widths[vertex] / 2) - widths[vertex] / 2


def _spread(
    layer: Sequence[_Vertex], wanted: Mapping[_Vertex, float], widths: Mapping[_Vertex, int], gap: int
) -> dict[_Vertex, float]:
    """The places nearest to the wanted ones in which the vertices keep their order and their gaps.

    Without the room that stands before it, each vertex's place must not decrease: isotonic regression, by pooling
    adjacent violators.
    """
    offsets: list[int] = []
    used = 0
    for vertex in layer:
        offsets.append(used)
        used += widths[vertex] + gap
    #: Sum of wanted places times weights, weight, and number of the vertices that move as one.
    pools: list[tuple[float, float, int]] = []
    for vertex, offset in zip(layer, offsets, strict=True):
        weight = 1.0 if isinstance(vertex, str) else _PASSING_WEIGHT
        pool = ((wanted[vertex] - offset) * weight, weight, 1)
        while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
            before = pools.pop()
            pool = (before[0] + pool[0], before[1] + pool[1], before[2] + pool[2])
        pools.append(pool)
    # In binary fractions, so that what is added to them later changes none of them.
    bases = [round(total / weight * 64) / 64 for total, weight, count in pools for _ in range(count)]
    return {vertex: base + offset for vertex, base, offset in zip(layer, bases, offsets, strict=True)}
