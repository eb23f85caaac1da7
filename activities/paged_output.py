"""A step's output that is a list too long for one document: its pages are stored already, and this names them."""

from dataclasses import dataclass

from runs.paged_list import PagedList


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedOutput:
    """What a tool gives instead of a long list; to everyone after it, it is that list."""

    paged: PagedList
