"""What the judgement comes to: findings by their kind, and the figures beside them."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What was found; a suite without findings has passed."""

    lost: list[str] = field(default_factory=list)
    double_commits: list[str] = field(default_factory=list)
    #: Calls that reached the vendor twice and were not counted as possible duplicates, money that does not add up.
    unreported: list[str] = field(default_factory=list)
    possible_double_spend: int = 0
    #: Calls beyond the first that the vendor answered for a step.
    physical_double_calls: int = 0
    #: How often a step was in doubt.
    in_doubt: int = 0

    @property
    def findings(self) -> list[str]:
        return [
            *(f"lost: {finding}" for finding in self.lost),
            *(f"committed twice: {finding}" for finding in self.double_commits),
            *(f"not reported: {finding}" for finding in self.unreported),
        ]


def summary_of(findings: Iterable[str], *, limit: int = 40) -> str:
    """The findings for people, the first of them when there are many."""
    listed = list(findings)
    more = [f"… and {len(listed) - limit} more"] if len(listed) > limit else []
    return "\n".join([*listed[:limit], *more])
