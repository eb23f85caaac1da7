"""Brings a database's schema to what this code expects, from the migrations that ship with it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from agentflow.database import with_psycopg_driver

#: Any constant will do; it keeps two processes from migrating one database at the same time.
_MIGRATION_LOCK = 0x61676E74


def migrations_folder() -> Path:
    """The folder of migrations: inside the installed package, or `deploy/migrations` in a checkout."""
    installed = Path(__file__).parent / "migrations"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "deploy" / "migrations"


def migration_config(database_url: str) -> Config:
    """Alembic's configuration for `database_url`; there is no `alembic.ini`."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["database_url"] = with_psycopg_driver(database_url)
    return config


def upgrade_schema(database_url: str, revision: str = "head") -> None:
    """Applies the migrations up to `revision`, one process at a time; blocking."""
    engine = create_engine(with_psycopg_driver(database_url))
    try:
        with engine.connect() as lock_holder:
            lock_holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
            command.upgrade(migration_config(database_url), revision)
            lock_holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
    finally:
        engine.dispose()


def downgrade_schema(database_url: str, revision: str = "-1") -> None:
    """Takes back the latest migration, or all after `revision`; blocking."""
    command.downgrade(migration_config(database_url), revision)
