"""`agentctl key`: API keys of the organisations of a deployment, for its operator."""

from typing import TYPE_CHECKING

import click

from cli.operator import ask_database
from cli.output import Format, local_time, output_option, show, table

if TYPE_CHECKING:
    from agentflow.database import Database
    from agentflow.tenant_repository import KeyFacts


@click.group("key")
def key() -> None:
    """Make, list and revoke API keys: for operators, on the database itself."""


def _org_option(text: str) -> str:
    from api.keys import ORG_ID_FORM, is_org_id

    if not is_org_id(text):
        raise click.BadParameter(ORG_ID_FORM)
    return text


def _name_option(text: str) -> str:
    from api.keys import KEY_NAME_FORM, is_key_name

    if not is_key_name(text):
        raise click.BadParameter(KEY_NAME_FORM)
    return text


@key.command("create")
@click.option("--org", required=True, metavar="ORG", help="The organisation, such as org_dev; made when absent.")
@click.option("--org-name", help="Its name, when it is made.")
@click.option("--name", required=True, help="Whose key it is, or what for: approvers are told apart by it.")
def create(*, org: str, org_name: str | None, name: str) -> None:
    """Make a key and print it, this once: only its hash is stored."""
    from agentflow.tenant_repository import fingerprint_of
    from api.keys import create_key

    org, name = _org_option(org), _name_option(name)

    async def made(database: "Database") -> tuple[str, str]:
        return await create_key(database, org_id=org, org_name=org_name or org, key_name=name)

    key_id, secret = ask_database(made)
    click.echo(f"key id {key_id}, fingerprint {fingerprint_of(secret)}; the key itself is shown this once:", err=True)
    click.echo(secret)


@key.command("list")
@click.option("--org", metavar="ORG", help="Of this organisation alone.")
@output_option
def list_(*, org: str | None, output: Format) -> None:
    """List keys: whose they are, since when, and whether they are revoked; never the keys themselves."""
    from api.keys import key_document, list_keys

    wanted = _org_option(org) if org is not None else None

    async def listed(database: "Database") -> "list[KeyFacts]":
        return await list_keys(database, org_id=wanted)

    found = ask_database(listed)
    rows = [
        (
            fact.key_id,
            fact.org_id,
            fact.name,
            fact.fingerprint,
            local_time(fact.created_at.isoformat()) or "",
            local_time(fact.revoked_at.isoformat() if fact.revoked_at is not None else None) or "",
        )
        for fact in found
    ]
    headings = ("KEY", "ORGANISATION", "NAME", "FINGERPRINT", "CREATED", "REVOKED")
    show([key_document(fact) for fact in found], output, lambda: table(headings, rows))


@key.command("revoke")
@click.option("--org", required=True, metavar="ORG", help="The organisation that the key belongs to.")
@click.argument("key_id")
def revoke(*, org: str, key_id: str) -> None:
    """Let a key in no more, from this moment on."""
    from api.keys import revoke_key

    async def revoked(database: "Database") -> bool:
        return await revoke_key(database, org_id=org, key_id=key_id)

    if not ask_database(revoked):
        raise click.ClickException(
            f"organisation {org!r} has no key {key_id!r} in use; `agentctl key list` tells what there is"
        )
    click.echo(f"revoked {key_id}", err=True)
