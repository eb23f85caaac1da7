import random

from cli.graph_text import draw_text
from tests.unit.cli.graph_nodes import ANALYSIS, drawable


def test_a_workflow_is_drawn_with_its_edges_as_rails() -> None:
    expected = """\
analysis version 3: 5 nodes, 5 edges, 5 layers

●    ingest     tool s3.fetch
│
●    split      function text_splitter
│
●    analyze    map of llm analyzer@3
├─╮             over split.output.chunks · window 4
● │  summarize  reduce of llm summarizer@1
╰─┤             over analyze.output
  ●  report     function report_builder
                when size(summarize.output) > 0"""
    assert expected.splitlines() == draw_text("analysis", 3, ANALYSIS)


def test_an_edge_that_only_passes_another_rail_does_not_touch_it() -> None:
    nodes = [drawable("a"), drawable("b", "a"), drawable("c", "a"), drawable("d", "a", "b", "c"), drawable("e", "b")]

    expected = """\
x version 1: 5 nodes, 6 edges, 3 layers

●      a  function t
├─┬─╮
● │ │  b  function t
├─│─┤
│ ● │  c  function t
│ ╰─┤
●   │  e  function t
    │
    ●  d  function t"""
    assert expected.splitlines() == draw_text("x", 1, nodes)


def test_in_a_run_each_node_shows_how_it_stands() -> None:
    states = {"ingest": "succeeded", "split": "failed", "analyze": "cancelled", "summarize": "from the future"}

    marks = [line[:3].strip() for line in draw_text("analysis", 3, ANALYSIS, states=states)[2::2]]

    assert ["✓", "✗", "⊘", "? │", "?"] == marks


def test_every_node_of_a_large_graph_has_one_line_and_no_line_is_wide() -> None:
    chance = random.Random(7)
    nodes = [
        drawable(f"n{n}", *sorted({f"n{chance.randrange(max(0, n - 12), n)}" for _ in range(2)}) if n > 4 else ())
        for n in range(60)
    ]

    lines = draw_text("large", 1, nodes)

    shown = [line.split("  function")[0].split()[-1] for line in lines if "  function" in line]
    assert sorted(node.node_id for node in nodes) == sorted(shown)
    assert max(map(len, lines)) < 100
    assert 122 >= len(lines)
    assert lines == draw_text("large", 1, nodes)


def test_what_a_document_wrote_drives_no_terminal() -> None:
    node = drawable("a", target="\x1b[2J", when="x ==\n 'long" + "g" * 200 + "'")

    _, _, title, detail = draw_text("x\x07", 1, [node])

    assert "●  a  function ?[2J" == title
    assert detail.startswith("      when x == 'longg")
    assert detail.endswith("g…")
    assert 110 > len(detail)
