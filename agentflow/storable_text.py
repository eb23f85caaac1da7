"""Texts as PostgreSQL and protobuf can hold them: a stranger's document or a model's answer may hold more than that."""


def storable_text(text: str) -> str:
    """`text` with U+FFFD for NUL and `?` for half of a surrogate pair."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text if text.isascii() else text.encode("utf-8", errors="replace").decode()
