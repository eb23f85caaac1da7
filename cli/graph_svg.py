"""A DAG as SVG: one file without scripts, fonts or anything else from outside; pure.

Everything that a document wrote is escaped, and characters that XML cannot hold are replaced.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from cli.output import printable
from workflows.graph_layout import Box, EdgePath, Layout, Size, Spacing, lay_out
from workflows.graph_view import GraphNode, edge_count

#: Type → colour of the box; text on each has a contrast of at least 7:1 (WCAG 2.2, level AAA).
_COLOURS: Mapping[str, str] = {
    "llm": "#dbeafe",
    "agent": "#e0e7ff",
    "tool": "#dcfce7",
    "function": "#f1f5f9",
    "code": "#fef9c3",
    "map": "#ede9fe",
    "reduce": "#fae8ff",
    "loop": "#cffafe",
    "race": "#ffedd5",
    "workflow": "#ccfbf1",
    "approval": "#fee2e2",
    "wait": "#fce7f3",
}
_NEUTRAL = "#ffffff"
#: State in a run → colour of the frame.
_FRAMES: Mapping[str, str] = {
    "running": "#1d4ed8",
    "succeeded": "#15803d",
    "failed": "#b91c1c",
    "cancelled": "#b45309",
}
_FRAME = "#475569"
_MARGIN, _HEADING = 24, 34
_SPACING = Spacing(across=28, down=56)
_PADDING, _LINE = 12, 17
#: Of a fixed-width font of 12 px.
_CHARACTER = 7.3
_LONGEST_LINE = 44
_STYLE = (
    "text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#0f172a}"
    ".id{font-weight:700}.heading{font-size:14px;font-weight:700}.detail{fill:#334155}"
    ".edge{fill:none;stroke:#64748b;stroke-width:1.4}.pending,.skipped{stroke-dasharray:5 4}"
)


def draw_svg(
    name: str, version: int, nodes: Sequence[GraphNode], *, states: Mapping[str, str] | None = None
) -> list[str]:
    """The lines of the file; with `states` (node → state in a run) frames show how each node stands."""
    lines_of = {node.node_id: _lines(node, states) for node in nodes}
    sizes = {node_id: _size(lines) for node_id, lines in lines_of.items()}
    layout = lay_out(sizes, {node.node_id: node.upstream for node in nodes}, _SPACING)
    heading = _text(f"{name} version {version}")
    width = max(layout.width, round(_width(heading) * 14 / 12)) + 2 * _MARGIN
    height = layout.height + _HEADING + 2 * _MARGIN
    drawing = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
            ' role="img" aria-labelledby="title description">'
        ),
        f'<title id="title">{escape(heading)}</title>',
        f'<desc id="description">{escape(_description(nodes, states))}</desc>',
        f"<style>{_STYLE}</style>",
        (
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
            ' orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>'
        ),
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text class="heading" x="{_MARGIN}" y="{_MARGIN + 10}">{escape(heading)}</text>',
        f'<g transform="translate({_MARGIN} {_MARGIN + _HEADING})">',
    ]
    drawing += _edges(layout)
    for node in nodes:
        drawing += _node(node, layout.boxes[node.node_id], lines_of[node.node_id], states)
    return [*drawing, "</g>", "</svg>"]


def _description(nodes: Sequence[GraphNode], states: Mapping[str, str] | None) -> str:
    """The graph in words, for those who do not see it."""
    sentences = [f"Nodes: {len(nodes)}; edges: {edge_count(nodes)}."]
    for node in nodes:
        parts = [_text(node.does), *(_text(detail) for detail in node.details)]
        if states is not None:
            parts.append(states.get(node.node_id, "state unknown"))
        if node.upstream:
            parts.append(f"after {', '.join(node.upstream)}")
        sentences.append(f"{node.node_id}: {'; '.join(parts)}.")
    return _text(" ".join(sentences))


def _lines(node: GraphNode, states: Mapping[str, str] | None) -> list[str]:
    shown = [node.node_id, node.does, *node.details]
    if states is not None:
        shown.insert(1, states.get(node.node_id, "state unknown"))
    return [_shortened(_text(line)) for line in shown]


def _size(lines: Iterable[str]) -> Size:
    texts = list(lines)
    return Size(width=_width(max(texts, key=_width)) + 2 * _PADDING, height=len(texts) * _LINE + 2 * _PADDING - 4)


def _width(text: str) -> int:
    cells = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return round(cells * _CHARACTER)


def _edges(layout: Layout) -> list[str]:
    return [
        f'<path class="edge" d="{_curve(edge)}" marker-end="url(#arrow)"><title>'
        f"{escape(_text(f'{edge.source} to {edge.target}'))}</title></path>"
        for edge in layout.edges
    ]


def _curve(edge: EdgePath) -> str:
    """Smooth between layers, straight where it passes one."""
    (x, y), *rest = edge.points
    path = f"M{x} {y}"
    for number, (next_x, next_y) in enumerate(rest):
        if number % 2:
            path += f"L{next_x} {next_y}"
        else:
            middle = (y + next_y) // 2
            path += f"C{x} {middle} {next_x} {middle} {next_x} {next_y}"
        x, y = next_x, next_y
    return path


def _node(node: GraphNode, box: Box, lines: Sequence[str], states: Mapping[str, str] | None) -> list[str]:
    state = None if states is None else states.get(node.node_id)
    frame, stroke = (_FRAME, 1.2) if state is None else (_FRAMES.get(state, _FRAME), 2.5)
    marked = f" class={quoteattr(_text(state))}" if state is not None else ""
    drawn = [
        "<g>",
        f"<title>{escape(_text('; '.join((node.node_id, node.does, *node.details))))}</title>",
        (
            f'<rect{marked} x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="7"'
            f' fill="{_COLOURS.get(node.type, _NEUTRAL)}" stroke="{frame}" stroke-width="{stroke}"/>'
        ),
    ]
    for number, line in enumerate(lines):
        role = ' class="id"' if number == 0 else "" if number == 1 else ' class="detail"'
        y = box.y + _PADDING + 10 + number * _LINE
        drawn.append(f'<text{role} x="{box.x + _PADDING}" y="{y}">{escape(line)}</text>')
    return [*drawn, "</g>"]


def _text(text: str) -> str:
    """`text` in one line, of characters that XML can hold."""
    return printable(" ".join(text.split()))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 1]}…"
