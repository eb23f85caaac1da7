"""A model vendor that does as it is told, over real HTTP, in the words of OpenAI and Anthropic."""

from tests.scripted_provider.behaviours import (
    Answer,
    Behaviour,
    BrokenStream,
    Drop,
    Fail,
    Hold,
    Malformed,
    ScriptedToolCall,
    ScriptedUsage,
)
from tests.scripted_provider.server import ReceivedRequest, ScriptedProvider

__all__ = [
    "Answer",
    "Behaviour",
    "BrokenStream",
    "Drop",
    "Fail",
    "Hold",
    "Malformed",
    "ReceivedRequest",
    "ScriptedProvider",
    "ScriptedToolCall",
    "ScriptedUsage",
]
