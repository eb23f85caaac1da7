"""Migrations from the command line: `make migrate-up`, `make migrate-down`, `make migrate-create name=…`."""

import sys

from alembic import command

from agentflow.errors import ConfigurationError
from agentflow.schema_migration import downgrade_schema, migration_config, migrations_folder, upgrade_schema
from agentflow.settings import load_settings


def main(arguments: list[str]) -> None:
    """Runs one of `up`, `down` and `create NAME` on the database that the settings name."""
    database_url = load_settings().effective_database_url
    match arguments:
        case ["up"]:
            upgrade_schema(database_url)
        case ["down"]:
            downgrade_schema(database_url)
        case ["create", name] if name:
            number = len(list((migrations_folder() / "versions").glob("*.py"))) + 1
            config = migration_config(database_url)
            command.revision(config, message=name, autogenerate=True, rev_id=f"{number:04d}")
        case _:
            sys.exit("use: migrate.py up | down | create NAME (make migrate-create name=add_something)")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigurationError as error:
        sys.exit(str(error))
