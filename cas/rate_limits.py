"""Which buckets a model call takes from; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentflow.settings import EVERY_ORG, RateLimit

#: Of the buckets that all organisations share.
SHARED = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketTake:
    """What a call takes from one bucket."""

    #: Whose bucket it is; SHARED when it is everyone's.
    org_id: str
    #: Such as `openai/* tokens`.
    name: str
    per_minute: int
    amount: int
    counts_tokens: bool

    @property
    def seconds(self) -> float:
        """How long the bucket takes to refill what the call takes."""
        return self.amount * 60.0 / self.per_minute

    def taking(self, amount: int) -> "BucketTake":
        """The same bucket, for another amount."""
        return replace(self, amount=amount)


def takes_of(
    limits: Sequence[RateLimit], *, org_id: str, provider: str, model: str, tokens: int
) -> tuple[BucketTake, ...]:
    """What a call takes, in the order in which buckets are locked; none where nothing is configured for it."""
    applicable = [
        limit
        for limit in limits
        if limit.provider == provider and limit.model in {None, model} and limit.org in {None, EVERY_ORG, org_id}
    ]
    own = {limit.model for limit in applicable if limit.org == org_id}
    # What is said of one organisation stands instead of what is said of each.
    applicable = [limit for limit in applicable if not (limit.org == EVERY_ORG and limit.model in own)]
    takes = [take for limit in applicable for take in _takes(limit, org_id, tokens)]
    return tuple(sorted(takes, key=lambda take: (take.org_id, take.name)))


def _takes(limit: RateLimit, org_id: str, tokens: int) -> list[BucketTake]:
    owner, name = SHARED if limit.org is None else org_id, f"{limit.provider}/{limit.model or '*'}"
    takes = []
    if limit.requests_per_minute is not None:
        per_minute = limit.requests_per_minute
        takes.append(
            BucketTake(org_id=owner, name=f"{name} requests", per_minute=per_minute, amount=1, counts_tokens=False)
        )
    if limit.tokens_per_minute is not None:
        per_minute = limit.tokens_per_minute
        takes.append(
            BucketTake(org_id=owner, name=f"{name} tokens", per_minute=per_minute, amount=tokens, counts_tokens=True)
        )
    return takes
