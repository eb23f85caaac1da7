from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.graph_layout import Box, EdgePath, Layout, Size, Spacing, lay_out, layers_of

Upstream = dict[str, tuple[str, ...]]

SPACING = Spacing(across=3, down=5)


@st.composite
def graphs(draw: st.DrawFn) -> Upstream:
    """Up to 24 nodes in any order, each after some of those that were drawn before it."""
    upstream: Upstream = {}
    for number in range(draw(st.integers(0, 24))):
        earlier = list(upstream)
        upstream[f"n{number}"] = tuple(draw(st.lists(st.sampled_from(earlier), max_size=4))) if earlier else ()
    return dict(draw(st.permutations(list(upstream.items()))))


def drawn(upstream: Upstream) -> Layout:
    """Nodes of several sizes, which their names decide."""
    sizes = {name: Size(width=10 + 2 * (int(name[1:]) % 5), height=4 + int(name[1:]) % 3) for name in upstream}
    return lay_out(sizes, upstream, SPACING)


def test_two_arms_of_a_diamond_stand_on_either_side() -> None:
    upstream = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}

    layout = lay_out({name: Size(width=10, height=4) for name in upstream}, upstream, Spacing(across=2, down=6))

    boxes = {
        "a": Box(x=6, y=0, width=10, height=4),
        "b": Box(x=0, y=10, width=10, height=4),
        "c": Box(x=12, y=10, width=10, height=4),
        "d": Box(x=6, y=20, width=10, height=4),
    }
    assert (boxes, 22, 24) == (layout.boxes, layout.width, layout.height)
    assert EdgePath(source="a", target="b", points=((11, 4), (5, 10))) == layout.edges[0]


def test_an_edge_past_a_layer_goes_beside_its_nodes() -> None:
    upstream = {"a": (), "b": ("a",), "c": ("a", "b")}

    layout = lay_out({name: Size(width=10, height=4) for name in upstream}, upstream, Spacing(across=2, down=6))

    [long_edge] = [edge for edge in layout.edges if (edge.source, edge.target) == ("a", "c")]
    middle = layout.boxes["b"]
    assert 4 == len(long_edge.points)
    for x, y in long_edge.points[1:3]:
        assert middle.y <= y <= middle.y + middle.height
        assert not middle.x <= x <= middle.x + middle.width


def test_crossings_that_the_document_order_has_are_taken_out() -> None:
    upstream = {"a": (), "b": (), "c": (), "z": ("a",), "y": ("b",), "x": ("c",)} | {"w": ("c",), "v": ("a",)}

    above, below = layers_of(upstream)

    ends = [(above.index(source), below.index(target)) for target in below for source in upstream[target]]
    assert not [pair for pair in combinations(ends, 2) if (pair[0][0] - pair[1][0]) * (pair[0][1] - pair[1][1]) < 0]


def test_nothing_is_drawn_of_nothing() -> None:
    assert Layout(boxes={}, edges=(), width=0, height=0) == lay_out({}, {}, SPACING)


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        layers_of({"a": ("b",), "b": ("a",)})


@given(graphs())
def test_every_node_is_drawn_once_and_every_edge_once(upstream: Upstream) -> None:
    layout = drawn(upstream)

    edges = [(source, target) for target, before in upstream.items() for source in dict.fromkeys(before)]
    assert list(upstream) == list(layout.boxes)
    assert edges == [(edge.source, edge.target) for edge in layout.edges]
    assert sorted(upstream) == sorted(node_id for layer in layers_of(upstream) for node_id in layer)


@given(graphs())
def test_no_two_boxes_touch_and_all_are_within_the_drawing(upstream: Upstream) -> None:
    layout = drawn(upstream)

    for box in layout.boxes.values():
        assert box.x >= 0 <= box.y
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height
    for one, other in combinations(layout.boxes.values(), 2):
        is_beside = one.x + one.width + SPACING.across <= other.x or other.x + other.width + SPACING.across <= one.x
        is_above = one.y + one.height + SPACING.down <= other.y or other.y + other.height + SPACING.down <= one.y
        assert is_beside or is_above


@given(graphs())
def test_every_edge_goes_down_from_its_source_to_its_target_through_no_box(upstream: Upstream) -> None:
    layout = drawn(upstream)

    for edge in layout.edges:
        source, target = layout.boxes[edge.source], layout.boxes[edge.target]
        assert (source.x + source.width // 2, source.y + source.height) == edge.points[0]
        assert (target.x + target.width // 2, target.y) == edge.points[-1]
        assert all(upper[1] < lower[1] for upper, lower in pairwise(edge.points))
        for x, y in edge.points[1:-1]:
            assert not [
                box
                for box in layout.boxes.values()
                if box.x < x < box.x + box.width and box.y <= y <= box.y + box.height
            ]


@given(graphs())
def test_the_same_graph_gives_the_same_drawing(upstream: Upstream) -> None:
    assert drawn(upstream) == drawn(dict(upstream))
