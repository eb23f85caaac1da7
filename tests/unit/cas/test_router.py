"""Which models may serve a call, and in which order."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.money import MicroUsd
from agentflow.settings import ModelOffer, QualityTier
from cas.errors import NoModelAvailable
from cas.models import Routing
from cas.price_book import PriceBook, cost, worst_case
from cas.provider_models import TokenUsage
from cas.router import Router

TIERS: tuple[QualityTier, ...] = ("Gold", "Silver", "Bronze")
PRICES = st.integers(min_value=0, max_value=10**9)
TOKENS = st.integers(min_value=0, max_value=100_000)


def test_the_cheapest_route_comes_first_and_the_others_follow_by_price() -> None:
    routing = route([offer("dear", 9_000_000), offer("cheap", 1_000_000), offer("fair", 5_000_000)])

    assert ["openai/cheap", "openai/fair", "openai/dear"] == names(routing)
    assert "cheapest of 3 Gold models" == routing.reason
    assert ("Gold", {}) == (routing.tier, routing.excluded)


def test_routes_of_one_price_keep_the_order_of_the_settings() -> None:
    routing = route([offer(model, 1_000_000) for model in ("m3", "m1", "m2")])

    assert ["openai/m3", "openai/m1", "openai/m2"] == names(routing)


def test_the_length_of_prompt_and_answer_decides_which_model_is_cheapest() -> None:
    talker = offer("talker", input_price=9_000_000, output_price=1_000_000)
    reader = offer("reader", input_price=1_000_000, output_price=9_000_000)

    long_prompt = route([talker, reader], estimated_input=10_000, max_output=10)
    long_answer = route([talker, reader], estimated_input=10, max_output=10_000)

    assert ["openai/reader", "openai/talker"] == names(long_prompt)
    assert ["openai/talker", "openai/reader"] == names(long_answer)


@given(st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=5), TOKENS, TOKENS, TOKENS)
def test_routes_are_sorted_by_what_is_expected_and_no_ceiling_is_below_it(
    prices: list[tuple[int, int]], estimated_input: int, spare_input: int, max_output: int
) -> None:
    offers = [
        offer(f"m{index}", input_price, output_price=output_price)
        for index, (input_price, output_price) in enumerate(prices)
    ]
    maximum = estimated_input + spare_input

    routes = route(offers, estimated_input=estimated_input, max_input=maximum, max_output=max_output).routes

    expected = [route.expected_micro_usd for route in routes]
    assert sorted(expected) == expected
    assert len(offers) == len(routes)
    for chosen in routes:
        assert chosen.price is not None
        likely = TokenUsage(input_tokens=estimated_input, output_tokens=max_output)
        assert cost(chosen.price, likely) == chosen.expected_micro_usd
        assert (
            worst_case(chosen.price, input_tokens=maximum, max_output_tokens=max_output)
            == chosen.ceiling_micro_usd
            >= chosen.expected_micro_usd
        )


@pytest.mark.parametrize("tier", TIERS)
def test_a_model_serves_only_the_tiers_that_it_is_offered_for(tier: QualityTier) -> None:
    offers = [offer(name, 1_000_000, tiers=[name]) for name in TIERS]

    routing = route(offers, tier=tier)

    assert [f"openai/{tier}"] == names(routing)
    assert {f"openai/{name}": f"it is not offered for {tier}" for name in TIERS if name != tier} == routing.excluded


@pytest.mark.parametrize(("estimated_input", "max_output", "fits"), [(60, 40, True), (61, 40, False), (60, 41, False)])
def test_prompt_and_answer_together_have_to_fit_the_context(estimated_input: int, max_output: int, fits: bool) -> None:
    narrow, wide = offer("narrow", 1, context_tokens=100), offer("wide", 9_000_000)

    routing = route([narrow, wide], estimated_input=estimated_input, max_output=max_output)

    assert fits == ("openai/narrow" in names(routing))
    assert fits == ("openai/narrow" not in routing.excluded)


def test_a_prompt_that_the_price_map_says_is_too_long_goes_to_another_model() -> None:
    offers = [ModelOffer(provider="openai", model="gpt-4o-mini"), offer("wide", 9_000_000)]

    short, long = route(offers, estimated_input=1_000), route(offers, estimated_input=200_000)

    assert "openai/gpt-4o-mini" in names(short)
    assert ["openai/wide"] == names(long)
    assert "do not fit its 128000" in long.excluded["openai/gpt-4o-mini"]


def test_the_likely_size_of_a_prompt_decides_whether_it_fits_and_not_its_bound() -> None:
    routing = route([offer("narrow", 1, context_tokens=100)], estimated_input=50, max_input=5_000, max_output=50)

    assert ["openai/narrow"] == names(routing)


def test_a_model_without_a_price_is_left_out_and_named() -> None:
    routing = route([ModelOffer(provider="openai", model="unheard-of"), offer("known", 1_000_000)])

    assert ["openai/known"] == names(routing)
    assert {"openai/unheard-of": "it has no known price"} == routing.excluded


def test_a_model_without_a_price_is_reserved_and_ranked_at_the_ceiling_of_the_settings() -> None:
    offers = [ModelOffer(provider="openai", model="unheard-of"), offer("dear", 10**9), offer("cheap", 1_000)]

    routing = route(offers, unpriced_ceiling=MicroUsd(500))

    assert ["openai/cheap", "openai/unheard-of", "openai/dear"] == names(routing)
    assert (None, 500, 500) == (
        routing.routes[1].price,
        routing.routes[1].ceiling_micro_usd,
        routing.routes[1].expected_micro_usd,
    )


def test_a_price_that_is_known_does_not_fall_under_the_ceiling_for_unknown_ones() -> None:
    routing = route([offer("dear", 10**9)], unpriced_ceiling=MicroUsd(1))

    assert routing.routes[0].price is not None
    assert routing.routes[0].ceiling_micro_usd > 1


def test_a_pinned_model_is_the_only_route_whatever_its_tier_and_price() -> None:
    offers = [offer("cheap", 1), offer("pinned", 9_000_000, tiers=["Bronze"])]

    routing = route(offers, tier="Gold", pinned="openai/pinned")

    assert ["openai/pinned"] == names(routing)
    assert "pinned to openai/pinned" == routing.reason
    assert {"openai/cheap": "the node asks for openai/pinned"} == routing.excluded


def test_a_pinned_model_that_is_not_offered_is_named_in_the_refusal() -> None:
    with pytest.raises(NoModelAvailable, match="'openai/other' is not among the models of the setting MODELS"):
        route([offer("m", 1)], pinned="openai/other")


def test_a_pinned_model_is_found_by_provider_and_model_and_never_by_half_of_its_name() -> None:
    for half in ("m", "openai", "openai/", "anthropic/m"):
        with pytest.raises(NoModelAvailable):
            route([offer("m", 1)], pinned=half)


def test_a_pinned_model_that_cannot_serve_tells_why() -> None:
    with pytest.raises(NoModelAvailable, match="openai/m: about 90 tokens do not fit its 80"):
        route([offer("m", 1, context_tokens=80)], pinned="openai/m", estimated_input=40, max_output=50)


def test_without_any_offer_the_refusal_names_the_setting() -> None:
    with pytest.raises(NoModelAvailable, match="the setting MODELS lists no model"):
        route([])


def test_a_refusal_tells_for_each_offer_why_it_was_left_out() -> None:
    offers = [
        offer("bronze", 1, tiers=["Bronze"]),
        offer("narrow", 1, context_tokens=10),
        ModelOffer(provider="openai", model="unheard-of"),
    ]

    with pytest.raises(NoModelAvailable) as refusal:
        route(offers, tier="Gold", estimated_input=10, max_output=10)

    assert "Gold" == refusal.value.tier
    expected = (
        "openai/bronze: it is not offered for Gold; openai/narrow: about 20 tokens do not fit its 10; "
        "openai/unheard-of: it has no known price"
    )
    assert expected == refusal.value.reason


def test_the_most_that_a_call_can_cost_is_the_longest_prompt_to_every_model_in_turn() -> None:
    offers = [offer("cheap", 1_000_000, context_tokens=1_000), offer("dear", 3_000_000, context_tokens=2_000)]
    router = Router(offers, PriceBook(offers))

    assert 1_000 + 10 + 3 * (2_000 + 10) == router.worst_call(tier="Gold", max_output_tokens=10)
    assert 1_010 == router.worst_call(tier="Gold", max_output_tokens=10, pinned="openai/cheap")
    assert 0 == router.worst_call(tier="Gold", max_output_tokens=10, pinned="openai/none")


def test_the_most_that_a_call_can_cost_is_not_known_without_a_context() -> None:
    offers = [offer("endless", 1_000_000)]
    unpriced = [ModelOffer(provider="openai", model="unheard-of")]

    assert Router(offers, PriceBook(offers)).worst_call(tier="Gold", max_output_tokens=10) is None
    ceiling = Router(unpriced, PriceBook(unpriced), unpriced_ceiling=MicroUsd(7))
    assert 7 == ceiling.worst_call(tier="Gold", max_output_tokens=10)


def offer(
    model: str,
    input_price: int,
    *,
    output_price: int | None = None,
    tiers: Iterable[QualityTier] = TIERS,
    context_tokens: int | None = None,
) -> ModelOffer:
    return ModelOffer(
        provider="openai",
        model=model,
        tiers=tuple(tiers),
        input_micro_usd_per_million_tokens=input_price,
        output_micro_usd_per_million_tokens=input_price if output_price is None else output_price,
        context_tokens=context_tokens,
    )


def route(
    offers: list[ModelOffer],
    *,
    tier: str = "Gold",
    estimated_input: int = 1_000,
    max_input: int | None = None,
    max_output: int = 1_000,
    pinned: str | None = None,
    unpriced_ceiling: MicroUsd | None = None,
) -> Routing:
    return Router(offers, PriceBook(offers), unpriced_ceiling=unpriced_ceiling).route(
        tier=tier,
        estimated_input_tokens=estimated_input,
        max_input_tokens=3 * estimated_input if max_input is None else max_input,
        max_output_tokens=max_output,
        pinned=pinned,
    )


def names(routing: Routing) -> list[str]:
    return [route.name for route in routing.routes]
