"""How much of the platform an organisation may take, and what admission makes of it; values only."""

from dataclasses import dataclass

from agentflow.digest import sha256_hex
from agentflow.settings import Settings

#: Temporal's scale: 1 is served first.
HIGHEST_PRIORITY, DEFAULT_PRIORITY, LOWEST_PRIORITY = 1, 3, 5
DEFAULT_WEIGHT = 1.0
#: Temporal takes 64 bytes; what a large map's shards append fits as well.
_MAX_KEY_BYTES = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionDefaults:
    """What the settings say for every organisation; None is no limit."""

    #: Of all organisations together.
    max_running_runs: int | None = None
    max_running_runs_per_org: int | None = None
    max_queued_runs_per_org: int | None = None
    #: What a document asks for beyond this counts as this: priorities go before fairness.
    highest_priority: int = HIGHEST_PRIORITY


#: Every run starts at once.
NO_CAPS = AdmissionDefaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganisationLimits:
    """What an operator has set for one organisation; None leaves it to the settings."""

    org_id: str
    max_running_runs: int | None = None
    max_queued_runs: int | None = None
    #: Of its steps against those of others: twice the weight is twice the share of a busy queue.
    fairness_weight: float | None = None
    highest_priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveLimits:
    """What holds for one organisation, its own limits over the settings."""

    #: Of all organisations together.
    max_running_runs: int | None
    max_running_runs_per_org: int | None
    max_queued_runs_per_org: int | None
    fairness_weight: float
    highest_priority: int

    @property
    def always_admits(self) -> bool:
        """Whether nothing bounds what runs, so that there is no queue either."""
        return self.max_running_runs is None and self.max_running_runs_per_org is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCounts:
    """How many runs of an organisation are at work, and how many wait."""

    running: int
    queued: int


def effective_limits(defaults: AdmissionDefaults, own: OrganisationLimits | None) -> EffectiveLimits:
    """What holds for an organisation."""
    own = own or OrganisationLimits(org_id="")
    return EffectiveLimits(
        max_running_runs=defaults.max_running_runs,
        max_running_runs_per_org=_first(own.max_running_runs, defaults.max_running_runs_per_org),
        max_queued_runs_per_org=_first(own.max_queued_runs, defaults.max_queued_runs_per_org),
        fairness_weight=own.fairness_weight if own.fairness_weight is not None else DEFAULT_WEIGHT,
        highest_priority=own.highest_priority if own.highest_priority is not None else defaults.highest_priority,
    )


def admission_defaults(settings: Settings) -> AdmissionDefaults:
    """What the settings say."""
    return AdmissionDefaults(
        max_running_runs=settings.max_running_runs,
        max_running_runs_per_org=settings.max_running_runs_per_org,
        max_queued_runs_per_org=settings.max_queued_runs_per_org,
        highest_priority=settings.highest_priority,
    )


def fairness_key_of(org_id: str, key: str | None) -> str:
    """By which a run's share of a busy queue goes: its organisation's, or one below it that its document names."""
    whole = org_id if key is None else f"{org_id}/{key}"
    if len(whole.encode()) <= _MAX_KEY_BYTES:
        return whole
    return f"{whole[:20]}~{sha256_hex(whole.encode())[:24]}"


def _first(own: int | None, default: int | None) -> int | None:
    return own if own is not None else default
