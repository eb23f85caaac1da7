"""Statements as values, so that several, of several domains, can be one transaction, or one flight to the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncSession

#: One statement's rows; columns by attribute.
Rows = list[Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with `:names`, and the values for them."""

    clause: TextClause
    parameters: Mapping[str, Any]


async def execute_each(session: AsyncSession, statements: Sequence[Statement]) -> None:
    """Executes one after the other inside the session's transaction."""
    for statement in statements:
        await session.execute(statement.clause, statement.parameters)
