"""A key is looked at before it is sent: what cannot be one is refused without being shown."""

from agentflow.errors import ConfigurationError


def checked_api_key(api_key: str) -> str:
    """The key, if a header can carry it: an HTTP library would quote it in its complaint."""
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ConfigurationError(
            "the API key (AGENTFLOW_API_KEY) has a space, a line break or another character that no key has; "
            "it is af_ and then letters, digits, _ and -"
        )
    return api_key
