"""What the HTTP facade itself refuses.

ApiError
├── NotAuthenticated     no API key, or one that is not known
├── OperatorKeyRequired  the codec endpoint, without the deployment's own key
├── PayloadsUnreadable   the codec endpoint, with what are no payloads
├── ParameterRepeated    a parameter that has one value was given several
├── KeyRepeated          an object of the body has a key twice
├── TooManyValues        the body's JSON has more values than the server takes
└── RequestTooLarge      the body is past the limit
"""

from typing import ClassVar

from agentflow.errors import AgentflowError


class ApiError(AgentflowError):
    """A request that the facade does not pass on."""

    code: ClassVar[str] = "api.error"


class NotAuthenticated(ApiError):
    """The request has no API key that is known and in use."""

    code = "auth.not_authenticated"

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; send an API key as `Authorization: Bearer af_…` or `X-API-Key: af_…`")


class OperatorKeyRequired(ApiError):
    """What belongs to the deployment, not to an organisation, was asked for without its key."""

    code = "auth.operator_key_required"

    def __init__(self) -> None:
        super().__init__(
            "this takes the deployment's CODEC_ENDPOINT_KEY, as `Authorization: Bearer …` or as the password of a "
            "browser's sign-in at /codec/sign-in; an organisation's API key does not open it"
        )


class PayloadsUnreadable(ApiError):
    """A request to the codec holds what are no payloads."""

    code = "payload.unreadable"

    def __init__(self) -> None:
        super().__init__(
            'the payloads cannot be read; send Temporal\'s Payloads as JSON, `{"payloads": [{"metadata": {"encoding": '
            '"…"}, "data": "…"}]}`, with all values in base64'
        )


class ParameterRepeated(ApiError):
    """A parameter that has one value was given several: nobody knows which was meant."""

    code = "request.parameter_repeated"

    def __init__(self, *, name: str) -> None:
        self.name = name
        super().__init__(f"the parameter {name!r} was given more than once; give it once")


class KeyRepeated(ApiError):
    """An object of the request's JSON has a key twice: nobody knows which value was meant."""

    code = "request.key_repeated"

    def __init__(self, *, path: str) -> None:
        self.path = path
        super().__init__(f"the request's JSON has the key {path} more than once; give it once")


class TooManyValues(ApiError):
    """The request's JSON has more values than the server reads."""

    code = "request.too_many_values"

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"the request's JSON has more than {limit:,} values; keep long lists in a bucket and send their keys"
        )


class RequestTooLarge(ApiError):
    """The request's body is larger than the server takes."""

    code = "request.too_large"

    def __init__(self, *, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(
            f"the request's body has more than {limit_bytes:,} bytes; keep documents in a bucket and send their keys"
        )
