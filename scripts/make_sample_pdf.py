"""Typeset the demo's document from its source text, always to the same bytes.

Needs fpdf2, which AgentFlow itself does not: `uv run --with fpdf2 scripts/make_sample_pdf.py`.
"""

from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "document_analysis"
#: Written into the file instead of the time of the build, so that a rebuild changes nothing.
CREATED = datetime(2025, 10, 9, 9, 0, tzinfo=UTC)
LINE_MM = 5.6


def typeset(source: str) -> FPDF:
    """Lay out Markdown of one title, headings, paragraphs and lists; no paragraph is torn by a page's end."""
    report = FPDF(format="A4")
    report.set_creation_date(CREATED)
    report.set_title(source.splitlines()[0].removeprefix("# "))
    report.set_margins(left=25, top=22, right=25)
    report.set_auto_page_break(auto=True, margin=22)
    report.add_page()
    for block in source.strip().split("\n\n"):
        _write_block(report, block)
    return report


def _write_block(report: FPDF, block: str) -> None:
    if block.startswith("# "):
        _write(report, block.removeprefix("# "), style="B", size=18, space_after_mm=4)
    elif block.startswith("## "):
        room_for_heading_and_paragraph = 40
        if report.will_page_break(room_for_heading_and_paragraph):
            report.add_page()
        _write(report, block.removeprefix("## "), style="B", size=13, space_after_mm=2)
    else:
        _write(report, block, style="", size=11, space_after_mm=3)


def _write(report: FPDF, text: str, *, style: str, size: int, space_after_mm: int) -> None:
    report.set_font("Helvetica", style=style, size=size)
    with report.unbreakable() as unbroken:
        unbroken.multi_cell(0, LINE_MM * max(1, size / 12), text, align="L", new_x="LMARGIN", new_y="NEXT")
    report.ln(space_after_mm)


if __name__ == "__main__":
    typeset((FOLDER / "sample.md").read_text(encoding="utf-8")).output(str(FOLDER / "sample.pdf"))
