import base64
import os
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from agentflow.errors import ConfigurationError
from agentflow.settings import ModelOffer, Settings, decode_vault_key, load_settings

KEY = bytes(range(32))
ENCODED_KEY = base64.b64encode(KEY).decode()


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.lower() in Settings.model_fields or name == "AGENTFLOW_CONFIG":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write_config(text: str, path: str = "configs/config.yaml") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def test_there_are_settings_without_any_environment_or_file() -> None:
    settings = load_settings()

    assert ("localhost:7233", 8080, ()) == (settings.temporal_address, settings.api_port, settings.models)
    assert settings.vault_key is None


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    write_config("database: {host: from-file, port: 6000}")
    monkeypatch.setenv("DB_HOST", "from-environment")

    settings = load_settings()

    assert ("from-environment", 6000, "agentflow") == (settings.db_host, settings.db_port, settings.db_user)


def test_what_the_caller_says_goes_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_HOST", "from-environment")

    assert load_settings(db_host="from-caller").db_host == "from-caller"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    write_config("server: {port: 9000}")
    monkeypatch.setenv("API_PORT", "")

    assert load_settings().api_port == 9000


def test_every_section_of_the_file_is_read() -> None:
    write_config(
        "database: {host: db}\n"
        "server: {port: 9000}\n"
        "temporal: {namespace: flows}\n"
        "agentflow:\n"
        "  log_level: DEBUG\n"
        "  models: [{provider: openai, model: small, tiers: [Bronze]}]\n"
        "  buckets: {contracts: 's3://contracts/'}\n"
    )

    settings = load_settings()

    assert ("db", 9000, "flows") == (settings.db_host, settings.api_port, settings.temporal_namespace)
    assert settings.log_level == "DEBUG"
    assert (ModelOffer(provider="openai", model="small", tiers=("Bronze",)),) == settings.models
    assert {"contracts": "s3://contracts/"} == settings.buckets


@pytest.mark.parametrize("text", ["", "# nothing\n", "database:\n", "database: {}\n"])
def test_a_file_or_a_section_may_be_empty(text: str) -> None:
    write_config(text)

    assert load_settings().db_host == "localhost"


def test_a_file_elsewhere_is_read_when_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    write_config("server: {port: 1}")
    write_config("server: {port: 2}", "elsewhere.yaml")
    monkeypatch.setenv("AGENTFLOW_CONFIG", "elsewhere.yaml")

    assert load_settings().api_port == 2


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_CONFIG", "missing.yaml")

    with pytest.raises(ConfigurationError, match=r"AGENTFLOW_CONFIG names 'missing\.yaml'"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c", "is not valid YAML"),
        ("- database", "must hold a mapping of sections"),
        ("databse: {host: db}", "'databse' is not a section; the sections are agentflow, database"),
        ("1: {host: db}", "1 is not a section"),
        ("database: db", "database must hold a mapping of settings"),
        ("database: [host]", "database must hold a mapping of settings"),
        ("database: {hots: db}", "database.hots is not a setting"),
        ("server: {db_host: db}", "server.db_host is not a setting"),
    ],
)
def test_a_mistake_in_the_file_is_named(text: str, problem: str) -> None:
    write_config(text)

    with pytest.raises(ConfigurationError, match=problem) as refusal:
        load_settings()

    assert "config.yaml" in str(refusal.value)


def test_a_file_that_is_not_utf_8_is_refused() -> None:
    write_config("")
    Path("configs/config.yaml").write_bytes(b"database: {host: \xff}")

    with pytest.raises(ConfigurationError, match="not valid YAML"):
        load_settings()


def test_every_setting_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "99999")
    monkeypatch.setenv("LOG_LEVEL", "LOUD")

    with pytest.raises(ConfigurationError, match=r"API_PORT: .*LOG_LEVEL: "):
        load_settings()


@pytest.mark.parametrize("variable", ["MODELS", "BUCKETS"])
def test_a_list_or_mapping_that_is_not_json_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "openai/small")

    with pytest.raises(ConfigurationError, match=f'"{variable.lower()}".*JSON'):
        load_settings()


@pytest.mark.parametrize("offer", ['{"provider": "openai"}', '{"provider": "o", "model": "m", "price": 1}'])
def test_an_offer_with_a_missing_or_unknown_part_is_named(monkeypatch: pytest.MonkeyPatch, offer: str) -> None:
    monkeypatch.setenv("MODELS", f"[{offer}]")

    with pytest.raises(ConfigurationError, match=r"MODELS\.0\.(MODEL|PRICE)"):
        load_settings()


def test_settings_do_not_change() -> None:
    settings = load_settings()

    with pytest.raises(ValidationError):
        settings.api_port = 1  # type: ignore[misc]  # what is refused is under test


def test_the_database_url_goes_before_its_parts() -> None:
    settings = load_settings(database_url="postgresql://u@h/d", db_host="other")

    assert settings.effective_database_url == "postgresql://u@h/d"


def test_the_parts_spell_a_url_whatever_the_password_holds() -> None:
    settings = load_settings(
        db_host="db",
        db_port=6000,
        db_user="me@x",
        db_password="p@ss/w:rd %?#",
        db_database="flow",
        db_ssl_mode="require",
    )

    url = make_url(settings.effective_database_url)

    assert ("me@x", "p@ss/w:rd %?#", "db", 6000, "flow") == (
        url.username,
        url.password,
        url.host,
        url.port,
        url.database,
    )
    assert {"sslmode": "require"} == dict(url.query)


def test_no_password_is_no_empty_password() -> None:
    assert load_settings().effective_database_url.startswith("postgresql://agentflow@localhost:5432/")


def test_the_vault_key_is_32_bytes_in_base64() -> None:
    assert KEY == load_settings(vault_key=ENCODED_KEY).require_vault_key()
    assert KEY == decode_vault_key(SecretStr(ENCODED_KEY))


def test_a_vault_key_that_is_needed_and_not_set_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match=r"VAULT_KEY is not set.*openssl rand -base64 32"):
        load_settings().require_vault_key()


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_vault_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigurationError, match=f"VAULT_KEY holds {length} bytes"):
        load_settings(vault_key=base64.b64encode(bytes(length)).decode())


@pytest.mark.parametrize("secret", ["sécret-sécret", "!secret!", "c2VjcmV0", f"{ENCODED_KEY}x"])
def test_a_vault_key_that_cannot_work_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("VAULT_KEY", secret)

    with pytest.raises(ConfigurationError, match="VAULT_KEY") as refusal:
        load_settings()

    assert secret not in "".join(traceback.format_exception(refusal.value))


def test_settings_show_no_secret_in_their_repr() -> None:
    secrets = {"vault_key": ENCODED_KEY, "db_password": "p-secret", "openai_api_key": "o-secret"}

    shown = repr(load_settings(**secrets))

    assert not [secret for secret in secrets.values() if secret in shown]


def test_compiled_modules_lie_in_the_users_cache_unless_a_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/worker")
    of_home = load_settings().effective_sandbox_cache_directory
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    of_xdg = load_settings().effective_sandbox_cache_directory
    named = load_settings(sandbox_cache_directory="/named").effective_sandbox_cache_directory

    assert ["/home/worker/.cache/agentflow/sandbox", "/cache/agentflow/sandbox", "/named"] == [
        str(path) for path in (of_home, of_xdg, named)
    ]


def test_secrets_of_tools_are_read_from_the_environment_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOL_SECRETS", '{"books": {"value": "Bearer s3cret", "hosts": ["books.example.com"]}}')

    settings = load_settings()

    assert "Bearer s3cret" == settings.tool_secrets["books"].value.get_secret_value()
    assert "s3cret" not in repr(settings)
    monkeypatch.setenv("TOOL_SECRETS", '{"books": {"value": "Bearer s3cret", "hosts": []}}')
    with pytest.raises(ConfigurationError, match="HOSTS") as refusal:
        load_settings()
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("worker_deployment", "with.dot"),
        ("worker_deployment", "with:colon"),
        ("worker_deployment", "it's"),
        ("worker_build_id", "with space"),
        ("worker_build_id", "it's"),
        ("worker_build_id", "-x"),
    ],
)
def test_names_of_deployments_and_builds_are_what_temporal_can_tell_apart(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name.upper()):
        load_settings(**{name: value})
