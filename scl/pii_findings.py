"""Counts of personal data by kind: what may be logged, stored and shown, because it holds no value."""

from collections import Counter
from collections.abc import Iterable

from scl.models import PiiFinding, PiiKind, PiiMatch


def summarise(matches: Iterable[PiiMatch]) -> tuple[PiiFinding, ...]:
    """One finding for each kind among `matches`, sorted by kind; every occurrence counts."""
    return _findings(Counter(match.kind for match in matches))


def merge_findings(findings: Iterable[PiiFinding]) -> tuple[PiiFinding, ...]:
    """The findings of several values as those of one, sorted by kind."""
    counts: Counter[PiiKind] = Counter()
    for finding in findings:
        counts[finding.kind] += finding.count
    return _findings(counts)


def describe_findings(findings: Iterable[PiiFinding]) -> str:
    """`2 EMAIL, 1 CARD`: the findings for a sentence."""
    return ", ".join(f"{finding.count} {finding.kind}" for finding in findings)


def _findings(counts: Counter[PiiKind]) -> tuple[PiiFinding, ...]:
    return tuple(PiiFinding(kind=kind, count=count) for kind, count in sorted(counts.items()) if count > 0)
