"""What organisations may take, from the command line of the server: `python -m api.limits list|set`."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace

from sqlalchemy.exc import DBAPIError

from agentflow.database import Database
from agentflow.errors import AgentflowError
from agentflow.process_exit import exit_process
from agentflow.settings import load_settings
from runs.admission_models import OrganisationLimits
from runs.admission_repository import AdmissionRepository

_PAGE = 500


async def set_limits(database: Database, *, org_id: str, changes: dict[str, int | float | None]) -> OrganisationLimits:
    """The limits of an organisation once `changes` are laid over what is set; None leaves one to the settings."""
    async with database.transaction() as session:
        repository = AdmissionRepository(session)
        known = await repository.limits_of(org_id=org_id) or OrganisationLimits(org_id=org_id)
        limits = replace(known, **changes)  # type: ignore[arg-type]  # the command line's types are the fields'
        await repository.set_limits(limits)
    return limits


async def list_limits(database: Database) -> list[OrganisationLimits]:
    """What is set, by organisation."""
    found: list[OrganisationLimits] = []
    while True:
        async with database.transaction() as session:
            after = found[-1].org_id if found else ""
            page = await AdmissionRepository(session).list_limits(after=after, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found


async def _run(arguments: argparse.Namespace) -> int:
    database = Database(load_settings().effective_database_url, pool_size=1)
    try:
        if arguments.action == "list":
            for limits in await list_limits(database):
                _tell(json.dumps(asdict(limits)))
            return 0
        given = {name: getattr(arguments, name) for name in _FIELDS if getattr(arguments, name) is not None}
        changes = {name: None if value == _UNSET else value for name, value in given.items()}
        _tell(json.dumps(asdict(await set_limits(database, org_id=arguments.org, changes=changes))))
        return 0
    finally:
        await database.close()


#: What takes a limit away.
_UNSET = "default"
_FIELDS = ("max_running_runs", "max_queued_runs", "fairness_weight", "highest_priority")


def _number(least: float, most: float, kind: Callable[[str], int | float]) -> Callable[[str], int | float | str]:
    def read(text: str) -> int | float | str:
        if text == _UNSET:
            return text
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return read


def _tell(line: str, *, error: bool = False) -> None:
    print(line, file=sys.stderr if error else sys.stdout, flush=True)  # a program's answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m api.limits", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="show what is set, an organisation a line, as JSON; null is the settings' default")
    change = actions.add_parser("set", help=f"set limits of an organisation; `{_UNSET}` leaves one to the settings")
    change.add_argument("--org", required=True, help="the organisation's id")
    count = _number(1, 2**31 - 1, int)
    change.add_argument("--running", dest="max_running_runs", type=count, help="runs at work at once")
    change.add_argument("--queued", dest="max_queued_runs", type=_number(0, 2**31 - 1, int), help="runs that may wait")
    weight = _number(0.001, 1000, float)
    change.add_argument("--weight", dest="fairness_weight", type=weight, help="its share of busy queues; others have 1")
    top = _number(1, 5, int)
    change.add_argument("--highest-priority", dest="highest_priority", type=top, help="that its documents may ask for")
    return parser


def main() -> None:
    """The command line."""
    try:
        exit_process(asyncio.run(_run(_parser().parse_args())))
    except AgentflowError as error:
        _tell(str(error), error=True)
        exit_process(1)
    except DBAPIError as error:
        _tell(f"the database refuses or does not answer: {error.orig}", error=True)
        exit_process(1)


if __name__ == "__main__":
    main()
