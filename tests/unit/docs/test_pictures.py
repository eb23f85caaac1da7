import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cli.example_files import example_folder
from cli.main import main
from tests.unit.docs.pages import ROOT, links

PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("picture", PICTURES, ids=by_name)
def test_a_picture_is_whole_and_needs_nothing_from_outside(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")

    assert "{http://www.w3.org/2000/svg}svg" == ET.fromstring(text).tag
    assert {"http://www.w3.org/2000/svg"} == set(re.findall(r"\w+://[^\"')\s]+", text))
    assert re.search(r"@import|@font-face|<script|<image|href", text) is None


def test_the_readme_shows_every_picture() -> None:
    assert len(PICTURES) == 2
    assert [] == [name for picture in PICTURES if (name := by_name(picture)) not in set(links(ROOT / "README.md"))]


def test_the_drawn_dag_is_that_of_the_example_as_it_is(tmp_path: Path) -> None:
    drawn = tmp_path / "dag.svg"
    document = str(example_folder() / "workflow.yaml")

    assert 0 == main(["workflow", "graph", document, "--offline", "--format", "svg", "-o", str(drawn)])

    shown = ROOT / "docs" / "pictures" / "document_analysis.svg"
    assert drawn.read_text(encoding="utf-8") == shown.read_text(encoding="utf-8"), "draw it anew: make pictures"
