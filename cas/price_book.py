"""What a call costs: litellm's bundled price map, read as a file, with the operator's own prices on top.

litellm takes seconds to import and may fetch its map from the network; its wheel carries the same map as JSON, and
reading that takes some 20 ms. All arithmetic is in integers: rates in micro-USD per million tokens, sums rounded up.
"""

import importlib.metadata
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

from agentflow.digest import json_digest
from agentflow.errors import ConfigurationError
from agentflow.money import MicroUsd
from agentflow.settings import ModelOffer
from cas.errors import ModelUnpriced
from cas.provider_models import TokenUsage

_TOKENS_PER_RATE = 1_000_000
_MICRO_USD_PER_MILLION_TOKENS = Decimal(10) ** 12
_LONG_CONTEXT_KEY = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
#: Our provider → the vendors of the map whose models it can call.
_VENDORS_OF_PROVIDER = {"openai": ("openai", "text-completion-openai"), "anthropic": ("anthropic",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRates:
    """Micro-USD per million tokens. A rate that the vendor does not list is that of its kind: input or output."""

    input_micro_usd_per_million: int
    output_micro_usd_per_million: int
    cache_read_micro_usd_per_million: int
    #: For entries that live 5 minutes; nothing here asks for those of an hour.
    cache_write_micro_usd_per_million: int
    reasoning_micro_usd_per_million: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LongContextRates:
    """The rates of *all* tokens of a call whose input is longer than a threshold."""

    above_input_tokens: int
    rates: TokenRates


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """A model's price as it was read, to be kept with each charge."""

    provider: str
    model: str
    rates: TokenRates
    #: Sorted by threshold.
    long_context: tuple[LongContextRates, ...]
    #: The largest prompt, as the map or the settings give it.
    context_tokens: int | None
    max_output_tokens: int | None
    #: `settings`, or the package and version that the price comes from.
    source: str
    #: SHA-256 of the rates and where they hold: equal prices have equal digests.
    digest: str


def cost(price: ModelPrice, usage: TokenUsage) -> MicroUsd:
    """What `usage` costs at `price`, rounded up to a whole micro-USD."""
    rates = _rates_for(price, usage.input_tokens)
    cached_tokens = usage.cache_read_tokens + usage.cache_write_tokens
    return _rounded_up(
        max(0, usage.input_tokens - cached_tokens) * rates.input_micro_usd_per_million
        + usage.cache_read_tokens * rates.cache_read_micro_usd_per_million
        + usage.cache_write_tokens * rates.cache_write_micro_usd_per_million
        + max(0, usage.output_tokens - usage.reasoning_tokens) * rates.output_micro_usd_per_million
        + usage.reasoning_tokens * rates.reasoning_micro_usd_per_million
    )


def worst_case(price: ModelPrice, *, input_tokens: int, max_output_tokens: int) -> MicroUsd:
    """The most that a call within these bounds can cost: every token at the dearest rate that it can meet."""
    reachable = [price.rates, *(tier.rates for tier in price.long_context if tier.above_input_tokens < input_tokens)]
    input_rate = max(
        max(
            rates.input_micro_usd_per_million,
            rates.cache_read_micro_usd_per_million,
            rates.cache_write_micro_usd_per_million,
        )
        for rates in reachable
    )
    output_rate = max(
        max(rates.output_micro_usd_per_million, rates.reasoning_micro_usd_per_million) for rates in reachable
    )
    return _rounded_up(input_tokens * input_rate + max_output_tokens * output_rate)


class PriceBook:
    """Prices by provider and model. The map is read at the first question about a vendor's model."""

    def __init__(self, offers: Sequence[ModelOffer] = (), *, price_map_file: Path | None = None) -> None:
        self._offers = {(offer.provider, offer.model): offer for offer in offers}
        self._price_map_file = price_map_file
        self._price_map: Mapping[str, Any] | None = None
        self._map_source = ""
        self._known: dict[tuple[str, str], ModelPrice] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Without the map, which another process reads for itself sooner than it is told."""
        return {**self.__dict__, "_price_map": None}

    def price(self, provider: str, model: str) -> ModelPrice:
        """The price of a model.

        A price in the settings is flat: it holds for cached and long inputs too. One that gives input or output
        alone takes the other from the map. In the map a zero means "not known" as often as "free": it does not count.
        Raises ModelUnpriced when there is no price.
        """
        known = self._known.get((provider, model))
        if known is None:
            known = self._find(provider, model)
            self._known[provider, model] = known
        return known

    def _find(self, provider: str, model: str) -> ModelPrice:
        offer = self._offers.get((provider, model)) or ModelOffer(provider=provider, model=model)
        input_rate, output_rate = offer.input_micro_usd_per_million_tokens, offer.output_micro_usd_per_million_tokens
        entry = self._entry(provider, model)
        if input_rate is not None and output_rate is not None:
            return _price(offer, _flat(input_rate, output_rate), entry, source="settings")
        steps = _steps(entry)
        rates = _listed_rates(entry) or _listed_rates(steps.get(0, {}))
        if rates is None:
            raise ModelUnpriced(provider=provider, model=model)
        if input_rate is None and output_rate is None:
            return _price(
                offer, rates, entry, long_context=_long_context_rates(entry, steps, rates), source=self._map_source
            )
        flat = _flat(
            rates.input_micro_usd_per_million if input_rate is None else input_rate,
            rates.output_micro_usd_per_million if output_rate is None else output_rate,
        )
        return _price(offer, flat, entry, source=f"settings, {self._map_source}")

    def _entry(self, provider: str, model: str) -> Mapping[str, Any]:
        """The map's entry, or an empty one; the map names some models with their vendor in front, some without."""
        if provider == "local":
            return {}
        if self._price_map is None:
            self._price_map = _read_price_map(self._price_map_file or bundled_price_map_file())
            self._map_source = self._price_map_file.name if self._price_map_file else _bundled_map_source()
        if provider == "litellm":
            vendor, _, bare_model = model.partition("/")
            if model in self._price_map:
                return _as_entry(self._price_map[model])
            vendors: tuple[str, ...] = (vendor,)
        else:
            bare_model, vendors = model, _VENDORS_OF_PROVIDER.get(provider, (provider,))
        for key in (bare_model, f"{provider}/{bare_model}"):
            entry = _as_entry(self._price_map.get(key))
            if entry.get("litellm_provider") in vendors:
                return entry
        return {}


def bundled_price_map_file() -> Path:
    """Where the installed litellm keeps its price map; litellm is not imported.

    Raises ConfigurationError when it is not there.
    """
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / "model_prices_and_context_window_backup.json"
        if file.is_file():
            return file
    raise ConfigurationError("litellm's price map is not installed; install litellm again")


def _read_price_map(file: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the price map {str(file)!r} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"the price map {str(file)!r} is not a JSON object")
    return document


def _bundled_map_source() -> str:
    return f"litellm {importlib.metadata.version('litellm')}"


def _as_entry(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _flat(input_rate: int, output_rate: int) -> TokenRates:
    return TokenRates(
        input_micro_usd_per_million=input_rate,
        output_micro_usd_per_million=output_rate,
        cache_read_micro_usd_per_million=input_rate,
        cache_write_micro_usd_per_million=input_rate,
        reasoning_micro_usd_per_million=output_rate,
    )


def _listed_rates(entry: Mapping[str, Any]) -> TokenRates | None:
    input_rate = _rate(entry, "input_cost_per_token")
    output_rate = _rate(entry, "output_cost_per_token")
    if not input_rate or not output_rate:
        return None
    return TokenRates(
        input_micro_usd_per_million=input_rate,
        output_micro_usd_per_million=output_rate,
        cache_read_micro_usd_per_million=_rate(entry, "cache_read_input_token_cost") or input_rate,
        cache_write_micro_usd_per_million=_rate(entry, "cache_creation_input_token_cost") or input_rate,
        reasoning_micro_usd_per_million=_rate(entry, "output_cost_per_reasoning_token") or output_rate,
    )


def _steps(entry: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """The map's second spelling of long-context rates: a list with ranges of input tokens; here by their start."""
    return {int(step["range"][0]): step for step in entry.get("tiered_pricing") or () if "range" in step}


def _long_context_rates(
    entry: Mapping[str, Any], steps: Mapping[int, Mapping[str, Any]], base: TokenRates
) -> tuple[LongContextRates, ...]:
    tiers = {above: _long_rates(step, base, suffix="") for above, step in steps.items() if above > 0}
    for key in entry:
        match = _LONG_CONTEXT_KEY.fullmatch(key)
        if match:
            suffix = key.removeprefix("input_cost_per_token")
            tiers[int(match[1]) * 1_000] = _long_rates(entry, base, suffix=suffix)
    return tuple(LongContextRates(above_input_tokens=above, rates=tiers[above]) for above in sorted(tiers))


def _long_rates(entry: Mapping[str, Any], base: TokenRates, *, suffix: str) -> TokenRates:
    """What a tier does not list is that of the base, or of the tier's own kind where that is dearer."""
    input_rate = _rate(entry, f"input_cost_per_token{suffix}") or base.input_micro_usd_per_million
    output_rate = _rate(entry, f"output_cost_per_token{suffix}") or base.output_micro_usd_per_million
    return TokenRates(
        input_micro_usd_per_million=input_rate,
        output_micro_usd_per_million=output_rate,
        cache_read_micro_usd_per_million=_rate(entry, f"cache_read_input_token_cost{suffix}") or input_rate,
        cache_write_micro_usd_per_million=_rate(entry, f"cache_creation_input_token_cost{suffix}")
        or max(input_rate, base.cache_write_micro_usd_per_million),
        reasoning_micro_usd_per_million=_rate(entry, f"output_cost_per_reasoning_token{suffix}")
        or max(output_rate, base.reasoning_micro_usd_per_million),
    )


def _rate(entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    if not isinstance(value, int | float) or value < 0:
        return None
    # repr gives the shortest digits, which are those that the map's file shows: 1.5e-07, not its binary neighbour.
    return int((Decimal(repr(value)) * _MICRO_USD_PER_MILLION_TOKENS).to_integral_value(rounding=ROUND_CEILING))


def _limit(entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return int(value) if isinstance(value, int | float) and value > 0 else None


def _price(
    offer: ModelOffer,
    rates: TokenRates,
    entry: Mapping[str, Any],
    *,
    long_context: tuple[LongContextRates, ...] = (),
    source: str,
) -> ModelPrice:
    tiers = [asdict(tier) for tier in long_context]
    return ModelPrice(
        provider=offer.provider,
        model=offer.model,
        rates=rates,
        long_context=long_context,
        context_tokens=offer.context_tokens or _limit(entry, "max_input_tokens"),
        max_output_tokens=_limit(entry, "max_output_tokens"),
        source=source,
        digest=json_digest([offer.provider, offer.model, asdict(rates), tiers]),
    )


def _rates_for(price: ModelPrice, input_tokens: int) -> TokenRates:
    rates = price.rates
    for tier in price.long_context:
        if input_tokens > tier.above_input_tokens:
            rates = tier.rates
    return rates


def _rounded_up(total: int) -> MicroUsd:
    return MicroUsd(-(-total // _TOKENS_PER_RATE))
