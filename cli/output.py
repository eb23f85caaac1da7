"""How answers are shown: as a table for people, as JSON or YAML for programs; always on standard output."""

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import click

Format = Literal["table", "json", "yaml"]
Row = Sequence[str]


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`-o table|json|yaml`."""
    choice = click.Choice(["table", "json", "yaml"])
    return click.option("-o", "--output", type=choice, default="table", show_default=True, help="Form of the answer.")(
        command
    )


def show(data: Any, output: Format, as_text: Callable[[], str]) -> None:
    """Prints `data`, or what `as_text` makes of it for people."""
    if output == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(as_text())


def table(headings: Row, rows: Sequence[Row]) -> str:
    """Aligned columns; the last one is as long as it is."""
    lines = [headings, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


def facts(pairs: Mapping[str, str | None]) -> str:
    """`Name  value` lines; values that are None are left out."""
    shown = {name: value for name, value in pairs.items() if value is not None}
    width = max((len(name) for name in shown), default=0)
    return "\n".join(f"{name:<{width}}  {printable(value)}" for name, value in shown.items())


def printable(text: str) -> str:
    """`text` without control characters: an answer may quote documents, and those may try to drive a terminal."""
    return "".join(character if _is_harmless(character) else "?" for character in text)


def _is_harmless(character: str) -> bool:
    # Python counts spaces other than ASCII's (no-break, thin, ideographic: category Zs) as not printable.
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"


def cents(amount: int | None) -> str | None:
    """`$12.34`."""
    if amount is None:
        return None
    sign = "-" if amount < 0 else ""
    return f"{sign}${abs(amount) // 100}.{abs(amount) % 100:02d}"


def local_time(instant: str | None) -> str | None:
    """An ISO 8601 instant in this machine's time zone, to the second."""
    return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S") if instant else None


def next_page_hint(cursor: str | None) -> None:
    """Tells on standard error that there is more."""
    if cursor is not None:
        click.echo(f"There is more: add --cursor {cursor}", err=True)


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--limit` and `--cursor`."""
    limited = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Items a page.")
    return limited(click.option("--cursor", help="Where the page before ended.")(command))
