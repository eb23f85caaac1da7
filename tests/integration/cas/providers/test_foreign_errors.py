"""No exception of a vendor's SDK, and none of its HTTP client, gets past its mapping."""

import inspect
from collections.abc import Iterator
from types import ModuleType

import anthropic._exceptions
import httpx
import httpx2
import openai._exceptions
import pytest

from agentflow.errors import leaf_errors
from cas.errors import ProviderError
from cas.providers import anthropic_provider, litellm_provider, openai_provider
from cas.providers.foreign_errors import error_of_codes


def exceptions_of(module: ModuleType) -> list[type[Exception]]:
    """Every exception class that the module defines or exports."""
    return [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Exception) and not issubclass(member, Warning)
    ]


def blank(error_class: type[Exception]) -> Exception:
    """An instance with what the mappings read, made without the constructor: each class has its own."""
    error = error_class.__new__(error_class)
    response = httpx.Response(418, request=httpx.Request("POST", "http://vendor.test"))
    facts = {
        "response": response,
        "status_code": getattr(error_class, "status_code", 418),
        "message": "words",
        "api_message": "words",
        "code": None,
        "type": None,
        "error_code": None,
        "body": None,
    }
    for name, value in facts.items():
        error.__dict__.setdefault(name, value)
    return error


@pytest.mark.parametrize("error_class", [*exceptions_of(openai._exceptions), *exceptions_of(httpx)])
def test_every_exception_of_openais_sdk_is_caught_and_mapped_to_a_leaf(error_class: type[Exception]) -> None:
    mapped = openai_provider.provider_error_of(blank(error_class), provider="openai", model="m")

    assert issubclass(error_class, openai_provider.FOREIGN_ERRORS) or error_class is httpx.CookieConflict
    assert type(mapped) in leaf_errors(ProviderError)


@pytest.mark.parametrize("error_class", [*exceptions_of(anthropic._exceptions), *exceptions_of(httpx2)])
def test_every_exception_of_anthropics_sdk_is_caught_and_mapped_to_a_leaf(error_class: type[Exception]) -> None:
    mapped = anthropic_provider.provider_error_of(blank(error_class), model="m")

    assert issubclass(error_class, anthropic_provider.FOREIGN_ERRORS) or error_class is httpx2.CookieConflict
    assert type(mapped) in leaf_errors(ProviderError)


def test_every_exception_of_litellm_is_mapped_to_a_leaf() -> None:
    litellm_provider.import_litellm()
    import litellm.exceptions

    error_classes = exceptions_of(litellm.exceptions)
    mapped = [litellm_provider.provider_error_of(blank(error_class), model="m") for error_class in error_classes]

    assert len(error_classes) > 20
    assert {type(error) for error in mapped} <= set(leaf_errors(ProviderError))


def test_a_name_that_litellm_drops_is_noticed() -> None:
    litellm_provider.import_litellm()
    import litellm.exceptions

    missing = [name for name, _ in litellm_provider._LEAVES if not hasattr(litellm.exceptions, name)]

    assert [] == missing


def leaves_by_code() -> Iterator[tuple[str, str]]:
    yield "rate_limit_error", "provider.rate_limited"
    yield "overloaded_error", "provider.unavailable"
    yield "api_error", "provider.unavailable"
    yield "invalid_request_error", "provider.rejected"
    yield "authentication_error", "provider.authentication_failed"
    yield "context_length_exceeded", "provider.context_too_long"
    yield "content_filter", "provider.content_refused"
    yield "timeout_error", "provider.timed_out"
    yield "never_heard_of", "provider.unavailable"


@pytest.mark.parametrize(("word", "code"), list(leaves_by_code()))
def test_an_error_inside_a_stream_is_told_by_its_word(word: str, code: str) -> None:
    assert code == error_of_codes([word], provider="openai", model="m").code
