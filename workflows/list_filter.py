"""Temporal's list filter, as far as values must be kept from being read as part of a query."""


def quoted(text: str) -> str:
    """A text as a value."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
