"""The laws of prices, on prices that are made up; and the map that litellm ships, as it is installed."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import ConfigurationError
from agentflow.settings import ModelOffer
from cas.errors import ModelUnpriced
from cas.price_book import LongContextRates, ModelPrice, PriceBook, TokenRates, cost, worst_case
from cas.provider_models import TokenUsage

RATE = st.integers(min_value=0, max_value=10**9)
RATES = st.builds(
    TokenRates,
    input_micro_usd_per_million=RATE,
    output_micro_usd_per_million=RATE,
    cache_read_micro_usd_per_million=RATE,
    cache_write_micro_usd_per_million=RATE,
    reasoning_micro_usd_per_million=RATE,
)
TOKENS = st.integers(min_value=0, max_value=1_000_000)


def price_of(rates: TokenRates, *long_context: LongContextRates) -> ModelPrice:
    return ModelPrice(
        provider="openai",
        model="m",
        rates=rates,
        long_context=long_context,
        context_tokens=None,
        max_output_tokens=None,
        source="test",
        digest="0" * 64,
    )


@st.composite
def prices(draw: st.DrawFn, *, dearer_when_long: bool) -> ModelPrice:
    base = draw(RATES)
    thresholds = draw(st.lists(st.integers(min_value=1, max_value=500_000), max_size=2, unique=True).map(sorted))
    tiers, below = [], base
    for threshold in thresholds:
        rates = draw(RATES)
        if dearer_when_long:
            rates = TokenRates(
                **{name: getattr(below, name) + getattr(rates, name) for name in TokenRates.__dataclass_fields__}
            )
        tiers.append(LongContextRates(above_input_tokens=threshold, rates=rates))
        below = rates
    return price_of(base, *tiers)


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    fresh, read, written, spoken, reasoned = (draw(TOKENS) for _ in range(5))
    return TokenUsage(
        input_tokens=fresh + read + written,
        output_tokens=spoken + reasoned,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoned,
    )


@given(prices(dearer_when_long=False), usages(), TOKENS, TOKENS)
def test_no_usage_within_the_bounds_costs_more_than_the_worst_case(
    price: ModelPrice, usage: TokenUsage, spare_input: int, spare_output: int
) -> None:
    ceiling = worst_case(
        price,
        input_tokens=usage.input_tokens + spare_input,
        max_output_tokens=usage.output_tokens + spare_output,
    )

    assert cost(price, usage) <= ceiling


@given(prices(dearer_when_long=True), usages(), TOKENS, TOKENS)
def test_more_tokens_never_cost_less(price: ModelPrice, usage: TokenUsage, more_input: int, more_output: int) -> None:
    more = TokenUsage(
        input_tokens=usage.input_tokens + more_input,
        output_tokens=usage.output_tokens + more_output,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )

    assert cost(price, usage) <= cost(price, more)


def test_a_fraction_of_a_micro_usd_is_rounded_up() -> None:
    price = PriceBook([offer(input_price=1, output_price=0)]).price("openai", "m")

    assert 1 == cost(price, TokenUsage(input_tokens=1, output_tokens=0))


def test_each_kind_of_token_has_its_own_rate() -> None:
    price = price_of(
        TokenRates(
            input_micro_usd_per_million=10_000_000,
            output_micro_usd_per_million=1_000_000_000,
            cache_read_micro_usd_per_million=1_000_000,
            cache_write_micro_usd_per_million=100_000_000,
            reasoning_micro_usd_per_million=10_000_000_000,
        )
    )
    usage = TokenUsage(input_tokens=9, output_tokens=9, cache_read_tokens=2, cache_write_tokens=3, reasoning_tokens=4)

    assert 4 * 10 + 2 * 1 + 3 * 100 + 5 * 1_000 + 4 * 10_000 == cost(price, usage)


def test_past_a_threshold_every_token_has_the_long_rate() -> None:
    price = PriceBook().price("litellm", "gemini/gemini-2.5-pro")

    short = cost(price, TokenUsage(input_tokens=200_000, output_tokens=1_000))
    long = cost(price, TokenUsage(input_tokens=200_001, output_tokens=1_000))

    assert 200_000 * 1.25 + 1_000 * 10 == short
    assert 200_001 * 2.5 + 1_000 * 15 == pytest.approx(long, abs=1)


def test_the_bundled_map_prices_a_model_in_whole_micro_usd() -> None:
    price = PriceBook().price("openai", "gpt-4o-mini")

    assert 150_000 == price.rates.input_micro_usd_per_million
    assert 600_000 == price.rates.output_micro_usd_per_million
    assert 75_000 == price.rates.cache_read_micro_usd_per_million
    assert price.source.startswith("litellm ")


def test_a_book_that_another_process_gets_brings_no_map_and_has_the_same_prices() -> None:
    book = PriceBook()
    price = book.price("openai", "gpt-4o-mini")

    sent = pickle.dumps(book)

    assert len(sent) < 10_000
    assert price == pickle.loads(sent).price("openai", "gpt-4o-mini")


def test_the_bundled_map_has_the_premium_of_anthropics_cache() -> None:
    price = PriceBook().price("anthropic", "claude-sonnet-4-5")

    assert 3_000_000 == price.rates.input_micro_usd_per_million
    assert 3_750_000 == price.rates.cache_write_micro_usd_per_million
    assert 1_000 * 3.75 + 100 * 15 == worst_case(price, input_tokens=1_000, max_output_tokens=100)


def test_litellm_finds_a_model_that_the_map_names_without_its_vendor() -> None:
    book = PriceBook()

    assert (
        book.price("anthropic", "claude-sonnet-4-5").rates == book.price("litellm", "anthropic/claude-sonnet-4-5").rates
    )


def test_every_entry_of_the_bundled_map_is_priced_or_refused() -> None:
    from cas.price_book import bundled_price_map_file

    book, priced = PriceBook(), 0
    for model in json.loads(bundled_price_map_file().read_bytes()):
        try:
            price = book.price("litellm", model)
        except ModelUnpriced:
            continue
        priced += 1
        assert price.rates.input_micro_usd_per_million > 0
        assert price.rates.output_micro_usd_per_million > 0

    assert priced > 2_000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("openai", "claude-sonnet-4-5"),
        ("openai", "dall-e-3"),
        ("local", "gpt-4o-mini"),
        ("litellm", "ollama/llama3"),
        ("litellm", "sample_spec"),
    ],
)
def test_a_model_without_a_known_price_is_refused_and_never_free(provider: str, model: str) -> None:
    with pytest.raises(ModelUnpriced) as refusal:
        PriceBook().price(provider, model)

    assert (provider, model) == (refusal.value.provider, refusal.value.model)


def test_a_price_of_zero_counts_when_the_operator_sets_it() -> None:
    price = PriceBook([offer(provider="local", input_price=0, output_price=0)]).price("local", "m")

    assert 0 == worst_case(price, input_tokens=10**6, max_output_tokens=10**6)
    assert "settings" == price.source


def test_the_operators_price_wins_over_the_map_and_is_flat() -> None:
    book = PriceBook([offer(model="gpt-4o-mini", input_price=7, output_price=9)])

    rates = book.price("openai", "gpt-4o-mini").rates

    assert (
        TokenRates(
            input_micro_usd_per_million=7,
            output_micro_usd_per_million=9,
            cache_read_micro_usd_per_million=7,
            cache_write_micro_usd_per_million=7,
            reasoning_micro_usd_per_million=9,
        )
        == rates
    )


def test_half_a_price_is_completed_from_the_map() -> None:
    price = PriceBook([offer(model="gpt-4o-mini", input_price=7)]).price("openai", "gpt-4o-mini")

    assert 7 == price.rates.input_micro_usd_per_million
    assert 600_000 == price.rates.output_micro_usd_per_million
    assert price.source.startswith("settings, litellm ")


def test_half_a_price_that_the_map_cannot_complete_is_no_price() -> None:
    with pytest.raises(ModelUnpriced):
        PriceBook([offer(input_price=7)]).price("openai", "m")


def test_the_context_of_the_settings_wins_over_the_maps() -> None:
    narrowed = ModelOffer(provider="openai", model="gpt-4o-mini", context_tokens=4_096)
    repriced = offer(model="gpt-4o-mini", input_price=1, output_price=1)

    assert 128_000 == PriceBook().price("openai", "gpt-4o-mini").context_tokens
    assert 128_000 == PriceBook([repriced]).price("openai", "gpt-4o-mini").context_tokens
    assert 4_096 == PriceBook([narrowed]).price("openai", "gpt-4o-mini").context_tokens


def test_equal_prices_have_equal_digests_and_others_other_ones() -> None:
    cheap, same, dear = (PriceBook([offer(input_price=1, output_price=price)]) for price in (1, 1, 2))

    assert cheap.price("openai", "m").digest == same.price("openai", "m").digest
    assert cheap.price("openai", "m").digest != dear.price("openai", "m").digest


def test_rates_by_ranges_of_input_are_read(tmp_path: Path) -> None:
    steps = [
        {"range": [0, 1_000.0], "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
        {"range": [1_000.0, 9_000.0], "input_cost_per_token": 3e-06, "output_cost_per_token": 4e-06},
    ]
    book = PriceBook(price_map_file=map_file(tmp_path, {"v/m": {"litellm_provider": "v", "tiered_pricing": steps}}))

    price = book.price("litellm", "v/m")

    assert 1_000 * 1 + 2 == cost(price, TokenUsage(input_tokens=1_000, output_tokens=1))
    assert 1_001 * 3 + 4 == cost(price, TokenUsage(input_tokens=1_001, output_tokens=1))


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"input_cost_per_token": 1e-06},
        {"input_cost_per_token": 0, "output_cost_per_token": 1e-06},
        {"input_cost_per_token": 1e-06, "output_cost_per_token": 0.0},
        {"input_cost_per_token": -1e-06, "output_cost_per_token": 1e-06},
        {"input_cost_per_token": "0.1", "output_cost_per_token": None},
    ],
)
def test_an_entry_without_both_prices_is_no_price(entry: dict[str, object], tmp_path: Path) -> None:
    book = PriceBook(price_map_file=map_file(tmp_path, {"m": {"litellm_provider": "openai", **entry}}))

    with pytest.raises(ModelUnpriced):
        book.price("openai", "m")


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_map_that_cannot_be_read_is_a_configuration_error(content: str, tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match=r"map\.json"):
        PriceBook(price_map_file=file).price("openai", "m")


def test_a_price_is_found_without_importing_litellm() -> None:
    program = (
        "import sys; from cas.price_book import PriceBook; PriceBook().price('openai', 'gpt-4o'); "
        "print([name for name in ('litellm', 'openai', 'anthropic') if name in sys.modules])"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]" == finished.stdout.strip()


def offer(
    *, provider: str = "openai", model: str = "m", input_price: int | None = None, output_price: int | None = None
) -> ModelOffer:
    return ModelOffer(
        provider=provider,
        model=model,
        input_micro_usd_per_million_tokens=input_price,
        output_micro_usd_per_million_tokens=output_price,
    )


def map_file(folder: Path, entries: dict[str, object]) -> Path:
    file = folder / "map.json"
    file.write_text(json.dumps(entries))
    return file
