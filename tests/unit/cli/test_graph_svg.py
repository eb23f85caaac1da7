from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from cli.graph_svg import draw_svg
from tests.unit.cli.graph_nodes import ANALYSIS, drawable

_NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def parsed(lines: list[str]) -> ET.Element:
    return ET.fromstring("\n".join(lines))


def test_a_small_drawing_is_this() -> None:
    nodes = [drawable("a"), drawable("b", "a", type="tool", kind="tool", target="s3.fetch")]

    drawn = draw_svg("x", 1, nodes)

    assert [
        '<path class="edge" d="M59 54C59 82 59 82 59 110" marker-end="url(#arrow)"><title>a to b</title></path>',
        "<g>",
        "<title>a; function t</title>",
        '<rect x="11" y="0" width="97" height="54" rx="7" fill="#f1f5f9" stroke="#475569" stroke-width="1.2"/>',
        '<text class="id" x="23" y="22">a</text>',
        '<text x="23" y="39">function t</text>',
        "</g>",
        "<g>",
        "<title>b; tool s3.fetch</title>",
        '<rect x="0" y="110" width="119" height="54" rx="7" fill="#dcfce7" stroke="#475569" stroke-width="1.2"/>',
        '<text class="id" x="12" y="132">b</text>',
        '<text x="12" y="149">tool s3.fetch</text>',
        "</g>",
    ] == drawn[8:-2]


def test_the_drawing_says_in_words_what_it_shows() -> None:
    root = parsed(draw_svg("analysis", 3, ANALYSIS))

    assert ("img", "title description") == (root.get("role"), root.get("aria-labelledby"))
    assert "analysis version 3" == root.findtext("svg:title", namespaces=_NAMESPACE)
    description = str(root.findtext("svg:desc", namespaces=_NAMESPACE))
    assert description.startswith("Nodes: 5; edges: 5. ingest: tool s3.fetch. split: ")
    assert "report: function report_builder; when size(summarize.output) > 0; after summarize, analyze." in description
    assert 5 == len(root.findall(".//svg:path[@class='edge']", _NAMESPACE))


def test_a_run_colours_frames_and_writes_the_state() -> None:
    root = parsed(draw_svg("x", 1, [drawable("a"), drawable("b", "a")], states={"a": "failed", "b": "pending"}))

    frames = [(rect.get("class"), rect.get("stroke")) for rect in root.findall(".//svg:g/svg:g/svg:rect", _NAMESPACE)]
    texts = [text.text for text in root.findall(".//svg:g/svg:g/svg:text", _NAMESPACE)]
    assert [("failed", "#b91c1c"), ("pending", "#475569")] == frames
    assert ["a", "failed", "function t", "b", "pending", "function t"] == texts


def test_a_type_that_is_not_known_has_a_neutral_colour() -> None:
    [box] = parsed(draw_svg("x", 1, [drawable("a", type="poem")])).findall(".//svg:g/svg:g/svg:rect", _NAMESPACE)

    assert "#ffffff" == box.get("fill")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_whatever_a_document_wrote_stays_text(name: str, target: str, when: str) -> None:
    node = drawable("a", target=f"{target}<script>alert(1)</script>", when=f"{when}\"]]>&'", type=target)

    root = parsed(draw_svg(name, 1, [node], states={"a": "succeeded"}))

    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text", "g"} == tags
