"""How a prompt is named: `name@3` pins a version, `name@stable` and `name` mean the deployment."""

import re

from promptops.errors import InvalidPromptName, InvalidPromptReference
from promptops.models import PromptReference

#: The label of the deployment; the only one there is.
STABLE_LABEL = "stable"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


def check_prompt_name(name: str) -> None:
    """Raises InvalidPromptName unless `name` can be a prompt's."""
    if not _NAME.fullmatch(name):
        raise InvalidPromptName(name=name)


def parse_prompt_reference(reference: str) -> PromptReference:
    """Reads a reference; whether it leads anywhere is for the one who resolves it.

    Raises InvalidPromptReference, also for a label together with a version: one of them would be ignored.
    """
    name, *selectors = reference.split("@")
    if not _NAME.fullmatch(name):
        raise InvalidPromptReference(reference=reference, reason="the name before '@' cannot be a prompt's")
    if not selectors:
        return PromptReference(name=name)
    if len(selectors) > 1:
        raise InvalidPromptReference(reference=reference, reason="it has more than one version or label")
    return _with_selector(reference, name, selectors[0])


def _with_selector(reference: str, name: str, selector: str) -> PromptReference:
    if _VERSION.fullmatch(selector):
        return PromptReference(name=name, version=int(selector))
    if _LABEL.fullmatch(selector):
        return PromptReference(name=name, label=selector)
    raise InvalidPromptReference(
        reference=reference, reason="what follows '@' is neither a version (1, 2, 3 …) nor a label"
    )
