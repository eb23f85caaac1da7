"""Alembic's entry: connects, and compares against the tables of every package."""

from alembic import context
from sqlalchemy import create_engine
from sqlmodel import SQLModel

import agentflow.tables
import cas.tables
import observability.tables
import promptops.tables
import runs.tables
import scl.tables

#: Importing a module of tables is what registers them.
TABLES = (agentflow.tables, cas.tables, observability.tables, promptops.tables, runs.tables, scl.tables)

engine = create_engine(context.config.attributes["database_url"])
try:
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()
finally:
    engine.dispose()
