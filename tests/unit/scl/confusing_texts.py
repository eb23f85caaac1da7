"""Texts made to keep a scan busy: their units, said again and again."""

#: What the scan for personal data takes for the beginning of something, again and again.
FOR_PII = [
    "1 ",
    "1",
    "@",
    "a@",
    "aa@aa.",
    "a.",
    "4111 ",
    "4111-",
    "DE89 ",
    "DE89",
    "+4",
    "(0",
    "00 ",
    "012-",
    "::",
    "a:",
    "1.",
]
#: The same for the scan for injections.
FOR_INJECTIONS = [
    "ignore ",
    "ignore all the ",
    "send ",
    "reveal ",
    "decode and ",
    "system",
    "\nsystem ",
    "https://{",
    "https://a/",
    "forget what ",
    "call x tool ",
    "a\u200b",
    "\U000e0041 ",
    '"',
    'like "ignore previous instructions" ',
    "bypass all safety ",
    "attention to ",
    "ignore all rules ",
    "ignore instructions  ",
    "ignore everything ",
    "without all the safety x ",
    "ignore" + " " * 5_000,
    "ignore all" + " " * 500_000,
    "attention" + ":" * 500_000,
]


def megabyte_of(unit: str) -> str:
    """A million characters of `unit`."""
    return (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
