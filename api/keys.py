"""API keys from the command line of the server: `python -m api.keys create|list|revoke`, on the settings' database."""

import argparse
import asyncio
import json
import re
import sys
from dataclasses import asdict

from sqlalchemy.exc import DBAPIError

from agentflow.clock import SystemClock
from agentflow.database import Database
from agentflow.errors import AgentflowError
from agentflow.process_exit import exit_process
from agentflow.settings import load_settings
from agentflow.tenant_repository import KeyFacts, TenantRepository, new_api_key

ORG_ID_FORM = "an id is letters, digits, '_' and '-', at most 63 of them, a letter or digit first"
KEY_NAME_FORM = "a name is 1 to 100 characters, without control characters, and without spaces at its ends"
_LONGEST_NAME = 100


def is_org_id(text: str) -> bool:
    """Whether an organisation may have this id."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", text) is not None


def is_key_name(text: str) -> bool:
    """Whether a key may be called this: approvers are told apart by the names of their keys."""
    return 0 < len(text) <= _LONGEST_NAME and text == text.strip() and text.isprintable()


async def create_key(database: Database, *, org_id: str, org_name: str, key_name: str) -> tuple[str, str]:
    """A new key of an organisation, which is made when absent: the key's id, and the secret, which is told once."""
    now, secret = SystemClock().now(), new_api_key()
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        await tenants.ensure_organisation(org_id=org_id, name=org_name, now=now)
        return await tenants.add_key(org_id=org_id, name=key_name, api_key=secret, now=now), secret


async def revoke_key(database: Database, *, org_id: str, key_id: str) -> bool:
    """Lets a key in no more; False when the organisation has no such key in use."""
    async with database.transaction() as session:
        return await TenantRepository(session).revoke_key(org_id=org_id, key_id=key_id, now=SystemClock().now())


async def list_keys(database: Database, *, org_id: str | None) -> list[KeyFacts]:
    """The keys of an organisation, or of all, one organisation after the other."""
    async with database.transaction() as session:
        tenants = TenantRepository(session)
        wanted = [org_id] if org_id is not None else await tenants.list_organisations()
        return [key for organisation in wanted for key in await tenants.list_keys(org_id=organisation)]


def key_document(key: KeyFacts) -> dict[str, str | None]:
    """A listed key as JSON."""
    revoked = key.revoked_at.isoformat() if key.revoked_at is not None else None
    return {**asdict(key), "created_at": key.created_at.isoformat(), "revoked_at": revoked}


async def _run(arguments: argparse.Namespace) -> int:
    database = Database(load_settings().effective_database_url, pool_size=1)
    try:
        if arguments.action == "create":
            key_id, secret = await create_key(
                database, org_id=arguments.org, org_name=arguments.org_name or arguments.org, key_name=arguments.name
            )
            _tell(f"key id {key_id}; the key itself is shown this once:", error=True)
            _tell(secret)
            return 0
        if arguments.action == "list":
            for key in await list_keys(database, org_id=arguments.org):
                _tell(json.dumps(key_document(key), ensure_ascii=False))
            return 0
        if await revoke_key(database, org_id=arguments.org, key_id=arguments.key_id):
            _tell(f"revoked {arguments.key_id}", error=True)
            return 0
        _tell(f"organisation {arguments.org!r} has no key {arguments.key_id!r} in use", error=True)
        return 1
    finally:
        await database.close()


def _org_id(text: str) -> str:
    if not is_org_id(text):
        raise argparse.ArgumentTypeError(ORG_ID_FORM)
    return text


def _key_name(text: str) -> str:
    if not is_key_name(text):
        raise argparse.ArgumentTypeError(KEY_NAME_FORM)
    return text


def _tell(line: str, *, error: bool = False) -> None:
    print(line, file=sys.stderr if error else sys.stdout, flush=True)  # a program's answer


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m api.keys", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key, and its organisation when absent; prints the key")
    create.add_argument("--org", required=True, type=_org_id, help="the organisation's id, such as acme")
    create.add_argument("--org-name", help="its name, when it is made")
    create.add_argument("--name", required=True, type=_key_name, help="what the key is for, such as ci")
    listed = actions.add_parser("list", help="show the keys, one a line, as JSON; never the keys themselves")
    listed.add_argument("--org", type=_org_id, help="of this organisation alone")
    revoke = actions.add_parser("revoke", help="let a key in no more")
    revoke.add_argument("--org", required=True)
    revoke.add_argument("key_id")
    try:
        exit_process(asyncio.run(_run(parser.parse_args())))
    except AgentflowError as error:
        _tell(str(error), error=True)
        exit_process(1)
    except DBAPIError as error:
        _tell(f"the database refuses or does not answer: {error.orig}", error=True)
        exit_process(1)


if __name__ == "__main__":
    main()
