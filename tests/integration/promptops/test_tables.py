import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

import promptops.tables
from agentflow.database import Database

pytestmark = pytest.mark.integration

TABLES = {
    promptops.tables.PromptVersionRow.__tablename__,
    promptops.tables.PromptDeploymentRow.__tablename__,
}


async def test_the_migrations_make_the_tables_that_the_models_describe(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _parents: kind != "table" or name in TABLES,
                "include_object": lambda _thing, name, kind, _reflected, _other: kind != "table" or name in TABLES,
            },
        )
        return list(compare_metadata(context, SQLModel.metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
