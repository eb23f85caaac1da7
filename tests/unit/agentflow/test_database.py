import traceback

import pytest

from agentflow.database import with_psycopg_driver
from agentflow.errors import ConfigurationError


@pytest.mark.parametrize(
    "driver", ["postgresql", "postgresql+psycopg", "postgresql+asyncpg", "postgresql+psycopg2", "postgresql+pg8000"]
)
def test_any_url_of_postgresql_gets_the_driver_that_is_installed(driver: str) -> None:
    expected = "postgresql+psycopg://me@db.example:5433/flow?sslmode=require"

    assert expected == with_psycopg_driver(f"{driver}://me@db.example:5433/flow?sslmode=require")


def test_a_password_is_kept_as_it_was_written() -> None:
    assert with_psycopg_driver("postgresql://me:p%40ss%2F@db/flow") == "postgresql+psycopg://me:p%40ss%2F@db/flow"


@pytest.mark.parametrize("url", ["mysql://me:secret@db/flow", "sqlite://", "sqlite:///secret.db"])
def test_a_url_of_another_database_is_refused_by_its_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DATABASE_URL names '{url.partition(':')[0]}'") as refusal:
        with_psycopg_driver(url)

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("url", ["", "secret", "localhost:5432/secret", "postgresql://me:secret@db:port/flow"])
def test_what_is_no_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not a URL") as refusal:
        with_psycopg_driver(url)

    assert "secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__
    assert "invalid literal" not in "".join(traceback.format_exception(refusal.value))
