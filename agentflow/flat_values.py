"""Dataclasses as mappings, where their values are JSON already."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def flat_dict(value: "DataclassInstance") -> dict[str, Any]:
    """Field name → value, as it is; `dataclasses.asdict` copies every part, and takes five to ten times as long."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
