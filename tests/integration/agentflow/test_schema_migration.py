import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text
from sqlmodel import SQLModel

import agentflow.tables
import cas.tables
import observability.tables
import promptops.tables
import runs.tables
import scl.tables
from agentflow import schema_migration
from agentflow.database import with_psycopg_driver
from agentflow.ids import new_id
from agentflow.schema_migration import downgrade_schema, migration_config, migrations_folder, upgrade_schema

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
#: Importing a module of tables is what registers them.
TABLES = (agentflow.tables, cas.tables, observability.tables, promptops.tables, runs.tables, scl.tables)
#: Alembic's own record of where a database stands.
VERSION_TABLE = "alembic_version"
_WAITING = text("""
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND datname = current_database() AND NOT granted
""")


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """A database of the test's own, dropped afterwards."""
    name = new_id("test")
    server = create_engine(with_psycopg_driver(postgres_url), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield server.url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    server.dispose()


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    engine = create_engine(with_psycopg_driver(empty_url))
    yield engine
    engine.dispose()


def columns_of(engine: Engine) -> dict[str, dict[str, tuple[str, bool]]]:
    """Table → column → its type and whether it may be NULL."""
    inspector = inspect(engine)
    return {
        table: {
            column["name"]: (column["type"].compile(engine.dialect), bool(column["nullable"]))
            for column in inspector.get_columns(table)
        }
        for table in inspector.get_table_names()
        if table != VERSION_TABLE
    }


def declared_columns(engine: Engine) -> dict[str, dict[str, tuple[str, bool]]]:
    return {
        table.name: {
            column.name: (column.type.compile(engine.dialect), bool(column.nullable)) for column in table.columns
        }
        for table in SQLModel.metadata.tables.values()
    }


def test_the_columns_of_every_table_are_those_that_the_migrations_make(database_url: str) -> None:
    engine = create_engine(with_psycopg_driver(database_url))
    try:
        assert declared_columns(engine) == columns_of(engine)
    finally:
        engine.dispose()


def test_keys_and_indexes_are_those_that_the_migrations_make(database_url: str) -> None:
    engine = create_engine(with_psycopg_driver(database_url))
    try:
        with engine.connect() as connection:
            assert [] == compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
        inspector = inspect(engine)
        for table in SQLModel.metadata.tables.values():
            migrated = inspector.get_pk_constraint(table.name)["constrained_columns"]
            assert [column.name for column in table.primary_key] == migrated, table.name
    finally:
        engine.dispose()


def test_every_package_with_tables_is_compared() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/tables.py")}

    assert packages == {module.__name__.partition(".")[0] for module in TABLES}


def test_a_database_goes_down_to_nothing_and_up_again(empty_url: str, engine: Engine) -> None:
    upgrade_schema(empty_url)
    before = columns_of(engine)

    downgrade_schema(empty_url, "base")
    assert {} == columns_of(engine)
    upgrade_schema(empty_url)

    assert before == columns_of(engine) == declared_columns(engine)


def test_every_migration_can_be_taken_back_and_made_again(empty_url: str, engine: Engine) -> None:
    revisions = [
        script.revision for script in ScriptDirectory.from_config(migration_config(empty_url)).walk_revisions()
    ]

    for revision in reversed(revisions):
        before = columns_of(engine)
        upgrade_schema(empty_url, revision)
        after = columns_of(engine)
        assert before != after

        downgrade_schema(empty_url)
        assert before == columns_of(engine)
        upgrade_schema(empty_url, revision)
        assert after == columns_of(engine)


def test_a_database_that_stands_at_the_head_is_left_as_it_is(empty_url: str, engine: Engine) -> None:
    upgrade_schema(empty_url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO organisations VALUES ('org', 'name', now())"))

    upgrade_schema(empty_url)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM organisations")).scalar_one() == 1


def test_a_migration_waits_for_the_one_that_is_under_way(empty_url: str, engine: Engine) -> None:
    key = {"key": schema_migration._MIGRATION_LOCK}
    with engine.connect() as holder, ThreadPoolExecutor() as threads:
        holder.execute(text("SELECT pg_advisory_lock(:key)"), key)
        upgrade = threads.submit(upgrade_schema, empty_url)
        deadline = time.monotonic() + 30
        while not holder.execute(_WAITING).scalar_one():
            assert time.monotonic() < deadline, "waited 30 s for the migration to wait for its lock"
        assert {} == columns_of(engine)

        holder.execute(text("SELECT pg_advisory_unlock(:key)"), key)
        upgrade.result(timeout=30)

    assert declared_columns(engine) == columns_of(engine)


def test_a_migration_that_fails_changes_nothing_and_leaves_no_lock(empty_url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE spans (mine integer)"))

    with pytest.raises(Exception, match='relation "spans" already exists'):
        upgrade_schema(empty_url)

    assert {"spans"} == set(columns_of(engine))
    with engine.connect() as connection:
        key = {"key": schema_migration._MIGRATION_LOCK}
        assert connection.execute(text("SELECT pg_try_advisory_lock(:key)"), key).scalar_one()


def test_the_migrations_are_one_line_without_branches() -> None:
    script = ScriptDirectory.from_config(migration_config("postgresql://nobody@nowhere/nothing"))

    assert len(script.get_heads()) == len(script.get_bases()) == 1
    assert all(isinstance(step.down_revision, str | None) for step in script.walk_revisions())


def test_the_migrations_are_found_where_their_entry_is() -> None:
    assert (migrations_folder() / "env.py").is_file()


def test_migrations_may_lie_in_a_folder_with_a_per_cent_sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "100%(here)s").mkdir()
    monkeypatch.setattr(schema_migration, "migrations_folder", lambda: tmp_path / "100%(here)s")

    config = migration_config("postgresql://nobody@nowhere/nothing")

    assert str(tmp_path / "100%(here)s") == config.get_main_option("script_location")
