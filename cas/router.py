"""Which models may serve a call, cheapest first; pure: prices and offers come in, routes go out."""

from collections.abc import Sequence

from agentflow.money import MicroUsd
from agentflow.settings import ModelOffer, Settings
from cas.errors import ModelUnpriced, NoModelAvailable
from cas.models import Route, Routing
from cas.price_book import PriceBook, cost, worst_case
from cas.provider_models import TokenUsage

#: A model without room for so much is no route.
_LEAST_ANSWER_TOKENS = 64


class Router:
    """Routes by tier, then by expected price; the rest of the list is the fall-back."""

    def __init__(
        self, offers: Sequence[ModelOffer], price_book: PriceBook, *, unpriced_ceiling: MicroUsd | None = None
    ) -> None:
        self._offers = tuple(offers)
        self._price_book = price_book
        self._unpriced_ceiling = unpriced_ceiling

    def route(
        self,
        *,
        tier: str,
        estimated_input_tokens: int,
        max_input_tokens: int,
        max_output_tokens: int,
        pinned: str | None = None,
        may_shorten: bool = False,
    ) -> Routing:
        """The routes of a call.

        `max_input_tokens` bounds the prompt from above, for the ceiling; `estimated_input_tokens` is the likely size,
        for the order. `pinned` is `provider/model`, and then the only route. A model that has less room than
        `max_output_tokens` may answer in the room that it has where the call `may_shorten`.
        Raises NoModelAvailable naming why each offer was left out.
        """
        excluded: dict[str, str] = {}
        routes: list[Route] = []
        for offer in self._offers:
            name = f"{offer.provider}/{offer.model}"
            reason = self._reason_against(offer, name, tier, pinned)
            if reason is not None:
                excluded[name] = reason
                continue
            room = self._room(offer, estimated_input_tokens) if may_shorten else None
            output_tokens = max_output_tokens if room is None else min(max_output_tokens, room)
            try:
                route = self._priced(offer, estimated_input_tokens, max_input_tokens, output_tokens)
            except ModelUnpriced:
                excluded[name] = "it has no known price"
                continue
            reason = _reason_against_size(offer, route, estimated_input_tokens, output_tokens)
            if reason is not None:
                excluded[name] = reason
                continue
            routes.append(route)
        if not routes:
            raise NoModelAvailable(tier=tier, reason=_why_none(excluded, pinned))
        routes.sort(key=lambda route: route.expected_micro_usd)
        reason = f"pinned to {pinned}" if pinned else f"cheapest of {len(routes)} {tier} models"
        return Routing(routes=tuple(routes), tier=tier, reason=reason, excluded=excluded)

    def worst_call(self, *, tier: str, max_output_tokens: int, pinned: str | None = None) -> MicroUsd | None:
        """The most that a call can cost, whatever is asked: the longest prompt to each model that may be tried in turn.

        None where a model has no known price or context; zero where no model would serve.
        """
        total = 0
        for offer in self._offers:
            if self._reason_against(offer, f"{offer.provider}/{offer.model}", tier, pinned) is not None:
                continue
            try:
                price = self._price_book.price(offer.provider, offer.model)
            except ModelUnpriced:
                if self._unpriced_ceiling is not None:
                    total += self._unpriced_ceiling
                # Without a ceiling it is no route, either.
                continue
            context = offer.context_tokens or price.context_tokens
            if context is None:
                return None
            total += worst_case(price, input_tokens=context, max_output_tokens=max_output_tokens)
        return MicroUsd(total)

    @staticmethod
    def _reason_against(offer: ModelOffer, name: str, tier: str, pinned: str | None) -> str | None:
        if pinned is not None and name != pinned:
            return f"the node asks for {pinned}"
        if pinned is None and tier not in offer.tiers:
            return f"it is not offered for {tier}"
        return None

    def _room(self, offer: ModelOffer, input_tokens: int) -> int | None:
        """How long an answer the model has room for, at least a little; None where that is not known."""
        try:
            longest = self._price_book.price(offer.provider, offer.model).max_output_tokens
        except ModelUnpriced:
            longest = None
        beside = (
            None if offer.context_tokens is None else max(offer.context_tokens - input_tokens, _LEAST_ANSWER_TOKENS)
        )
        return min((bound for bound in (longest, beside) if bound is not None), default=None)

    def _priced(self, offer: ModelOffer, estimated_input: int, max_input: int, max_output: int) -> Route:
        try:
            price = self._price_book.price(offer.provider, offer.model)
        except ModelUnpriced:
            if self._unpriced_ceiling is None:
                raise
            return Route(
                provider=offer.provider,
                model=offer.model,
                price=None,
                ceiling_micro_usd=self._unpriced_ceiling,
                expected_micro_usd=self._unpriced_ceiling,
                max_output_tokens=max_output,
            )
        likely = TokenUsage(input_tokens=estimated_input, output_tokens=max_output)
        return Route(
            provider=offer.provider,
            model=offer.model,
            price=price,
            ceiling_micro_usd=worst_case(price, input_tokens=max_input, max_output_tokens=max_output),
            expected_micro_usd=cost(price, likely),
            max_output_tokens=max_output,
        )


def open_router(settings: Settings) -> Router:
    """The router over the models of the settings."""
    ceiling = settings.unpriced_ceiling_micro_usd
    return Router(
        settings.models,
        PriceBook(settings.models),
        unpriced_ceiling=MicroUsd(ceiling) if ceiling is not None else None,
    )


def _reason_against_size(offer: ModelOffer, route: Route, input_tokens: int, output_tokens: int) -> str | None:
    """The settings bound prompt and answer together; the price map bounds the prompt."""
    if offer.context_tokens is not None:
        tokens, limit = input_tokens + output_tokens, offer.context_tokens
    elif route.price is not None and route.price.context_tokens is not None:
        tokens, limit = input_tokens, route.price.context_tokens
    else:
        return None
    return f"about {tokens} tokens do not fit its {limit}" if tokens > limit else None


def _why_none(excluded: dict[str, str], pinned: str | None) -> str:
    if pinned is not None and pinned not in excluded:
        return f"{pinned!r} is not among the models of the setting MODELS"
    if not excluded:
        return "the setting MODELS lists no model"
    return "; ".join(f"{name}: {reason}" for name, reason in excluded.items())
