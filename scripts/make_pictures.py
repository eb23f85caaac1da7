"""Draw the pictures of README.md: the example's DAG as it compiles, and the trace of a run on a stack of its own.

`make pictures` starts the embedded stack, runs `examples/document_analysis` on it, and stops it. The drawings go to
`docs/pictures/`, need nothing from outside, and are committed.
"""

import io
import re
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from agentflow.client import AgentflowClient
from cli.embedded.ports import StackPorts
from cli.embedded.stack import EmbeddedStack
from cli.example_files import SAMPLE_DOCUMENT, example_folder
from cli.main import main as agentctl
from observability.analysis.models import spans_from_json
from observability.analysis.trace_query import build_trace
from observability.analysis.trace_text import trace_lines
from promptops.prompt_file import parse_prompt_file

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
COLUMNS = 100
BUDGET_CENTS = 1_000

#: As rich draws a terminal, with the fonts of whoever looks at it.
TERMINAL = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>The trace of a run</title>
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""
#: Background, text, and the eight colours; text on the background has a contrast of at least 7:1 (WCAG 2.2, AAA).
THEME = TerminalTheme(
    (15, 23, 42),
    (226, 232, 240),
    [
        (15, 23, 42),
        (252, 165, 165),
        (134, 239, 172),
        (253, 224, 71),
        (147, 197, 253),
        (216, 180, 254),
        (103, 232, 249),
        (226, 232, 240),
    ],
)
#: What stands in a trace → its colour.
COLOURS = (
    (r"█+", "cyan"),
    (r"✓", "green"),
    (r"[✗⊘]", "red"),
    (r"\$\d[\d.]*", "yellow"),
    (r"^(run|trace|time|tokens|cost)\b", "blue"),
)


def draw_dag(file: Path) -> None:
    """The compiled document, by the command that users have."""
    code = agentctl(
        ["workflow", "graph", str(example_folder() / "workflow.yaml"), "--offline", "--format", "svg", "-o", str(file)]
    )
    if code != 0:
        raise SystemExit(code)


def trace_of_a_run() -> list[str]:
    """What `agentctl trace get` shows of a run of the example."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedStack(Path(folder), StackPorts.any_free()) as stack:
        key = Path(stack.addresses["api_key_file"]).read_text(encoding="ascii").strip()
        with AgentflowClient(stack.addresses["api"], api_key=key) as client:
            for prompt in sorted((example_folder() / "prompts").glob("*.yaml")):
                draft = parse_prompt_file(prompt.read_text(encoding="utf-8"))
                client.create_prompt(name=draft.name, template=draft.template, schema=draft.input_schema)
            workflow = client.register_workflow((example_folder() / "workflow.yaml").read_text(encoding="utf-8"))
            run = client.submit_run(
                workflow["name"], inputs={"document_key": SAMPLE_DOCUMENT}, budget_cents=BUDGET_CENTS
            )
            ended = client.wait(run["run_id"], timeout_seconds=300)
            if ended["state"] != "succeeded":
                raise SystemExit(f"the run of the example {ended['state']}: {ended['error']}")
            document = client.get_trace(run["run_id"])
    built = build_trace(spans_from_json(document), is_cut=document["is_cut"])
    return trace_lines(built, width=COLUMNS)


def draw_terminal(lines: list[str], file: Path, *, command: str) -> None:
    """Lines of a terminal as SVG, with a name for every part that other pictures on a page do not have."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    for line in lines:
        text = Text(line)
        for pattern, colour in COLOURS:
            text.highlight_regex(pattern, style=colour)
        console.print(text, no_wrap=True, crop=True)
    drawing = console.export_svg(title=command, theme=THEME, code_format=TERMINAL, unique_id="run-trace")
    file.write_text(re.sub(r"[ \t]+$", "", drawing, flags=re.MULTILINE), encoding="utf-8")


def main() -> None:
    """Draws both pictures."""
    PICTURES.mkdir(exist_ok=True)
    draw_dag(PICTURES / "document_analysis.svg")
    draw_terminal(trace_of_a_run(), PICTURES / "run_trace.svg", command="agentctl trace get RUN_ID")


if __name__ == "__main__":
    main()
