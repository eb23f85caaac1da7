"""What operators do speaks to Temporal and the database themselves; no API key limits it to an organisation."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from cli.connection import STACK_FOLDER, stack_address

if TYPE_CHECKING:
    from temporalio.client import Client

    from agentflow.database import Database
    from agentflow.settings import Settings

_Answer = TypeVar("_Answer")


def operator_settings() -> "Settings":
    """The settings of a worker here; without TEMPORAL_ADDRESS, those of a stack that runs from this folder."""
    from agentflow.settings import load_settings

    settings = load_settings()
    address = stack_address("temporal")
    if "temporal_address" in settings.model_fields_set or address is None:
        return settings
    from cli.embedded.payload_sealing import settings_of_stack

    return settings_of_stack(STACK_FOLDER, temporal_address=address)


def ask_database(question: Callable[["Database"], Awaitable[_Answer]]) -> _Answer:
    """The answer of the settings' database, or without any in them, of the stack that runs from this folder."""
    from sqlalchemy.exc import DBAPIError

    from agentflow.settings import load_settings

    settings = load_settings()
    address = stack_address("database")
    named = any(name.startswith(("database_", "db_")) for name in settings.model_fields_set)
    if not named and address is not None:
        settings = load_settings(database_url=address)
    elif not named:
        raise click.ClickException("no stack runs from this folder: start one with `agentctl dev`, or set DATABASE_URL")
    try:
        return asyncio.run(_asked_database(settings.effective_database_url, question))
    except DBAPIError as error:
        raise click.ClickException(f"the database refuses or does not answer: {error.orig}") from error


async def _asked_database(url: str, question: Callable[["Database"], Awaitable[_Answer]]) -> _Answer:
    from agentflow.database import Database

    database = Database(url, pool_size=1)
    try:
        return await question(database)
    finally:
        await database.close()


def ask_temporal(settings: "Settings", question: Callable[["Client"], Awaitable[_Answer]]) -> _Answer:
    """The answer; a server that refuses, or does not answer, ends the command with what it said."""
    # What the SDK logs of a history that does not replay, the answer says shorter.
    log = logging.getLogger("temporalio")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        return asyncio.run(_asked(settings, question))
    finally:
        log.setLevel(level)


async def _asked(settings: "Settings", question: Callable[["Client"], Awaitable[_Answer]]) -> _Answer:
    from temporalio.service import RPCError

    from workflows.temporal_connection import connect_temporal

    try:
        temporal = await connect_temporal(settings)
    except RuntimeError as error:
        raise click.ClickException(
            f"no Temporal server answers at {settings.temporal_address!r}: start one, or set TEMPORAL_ADDRESS"
        ) from error
    try:
        return await question(temporal)
    except RPCError as error:
        raise click.ClickException(f"Temporal at {settings.temporal_address} refuses: {error.message}") from error
