"""Every setting in one place: environment first, then `configs/config.yaml`, then defaults."""

import base64
import binascii
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError
from sqlalchemy.engine import URL

from agentflow.errors import ConfigurationError
from agentflow.mcp_settings import McpServer, McpServerName

QualityTier = Literal["Gold", "Silver", "Bronze"]
#: Which payloads of Temporal are read where there are keys: all, those that are sealed, or those bound to their place.
PayloadsAccepted = Literal["any", "sealed", "bound"]

#: Sections of the configuration file whose keys carry a prefix in the environment (`database.host` is `DB_HOST`).
_SECTION_PREFIXES = {"database": "db_", "server": "api_", "temporal": "temporal_", "worker": "worker_", "agentflow": ""}


class ModelOffer(BaseModel):
    """One model that routing may choose.

    Prices in micro-USD per million tokens override the price book; leave them out to use it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    model: str
    tiers: tuple[QualityTier, ...] = ("Gold", "Silver", "Bronze")
    input_micro_usd_per_million_tokens: int | None = Field(default=None, ge=0)
    output_micro_usd_per_million_tokens: int | None = Field(default=None, ge=0)
    #: The largest prompt plus answer that the model takes, in tokens.
    context_tokens: int | None = Field(default=None, gt=0)


#: A host, perhaps with a port; the scheme is https where none is written.
_ORIGIN = r"^(https?://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$"


def _origin_of(host: str) -> str:
    scheme, _, authority = host.lower().rpartition("://")
    scheme = scheme or "https"
    if re.search(r":[0-9]+$", authority) is None:
        authority += ":443" if scheme == "https" else ":80"
    return f"{scheme}://{authority}"


class ToolSecret(BaseModel):
    """A value that tools may send in a header, and to whom; documents name it and never see it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    value: SecretStr
    #: `host` or `host:port` over https, or a whole origin, `http://127.0.0.1:8000`; it is sent nowhere else.
    hosts: tuple[Annotated[str, Field(pattern=_ORIGIN)], ...] = Field(min_length=1)
    #: Empty: every organisation of the deployment may use it.
    org_ids: tuple[str, ...] = ()

    @field_validator("value")
    @classmethod
    def _value_can_stand_in_a_header(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[!-~](?:[\t -~]*[!-~])?", value.get_secret_value()):
            raise ValueError("it is no value of a header: visible ASCII, without a blank or a line end at its ends")
        return value

    @property
    def origins(self) -> frozenset[str]:
        """Scheme, host and port of each place that it may be sent to."""
        return frozenset(_origin_of(host) for host in self.hosts)


#: As the organisation of a rate limit: each has a bucket of its own.
EVERY_ORG = "*"


class RateLimit(BaseModel):
    """How much may be asked of a vendor's models, or of one of them, in a minute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(min_length=1)
    #: None is all of the vendor's models together.
    model: str | None = None
    #: None is everyone together, `*` each organisation for itself, else the one organisation.
    org: str | None = None
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _limits_something(self) -> "RateLimit":
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            raise ValueError("say requests_per_minute, tokens_per_minute, or both")
        return self


class Settings(BaseSettings):
    """Where things are and how far they may go. Field names are the environment's, in lower case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    #: Whether a process starts only when it is safe from its neighbours; unset: when Temporal is on another machine.
    environment: Literal["production", "development"] | None = None

    #: Wins over the `db_*` fields when set.
    database_url: str | None = None
    db_host: str = "localhost"
    db_port: int = 5432
    db_user: str = "agentflow"
    db_password: SecretStr = SecretStr("")
    db_database: str = "agentflow"
    db_ssl_mode: str = "prefer"
    db_pool_size: int = Field(default=10, ge=1, le=200)

    temporal_address: str = "localhost:7233"
    temporal_namespace: str = "default"
    temporal_api_key: SecretStr | None = None
    temporal_tls: bool = False
    #: PEM files: this process's certificate with its key, and the authority of the server's where it is a private one.
    temporal_tls_cert: Path | None = None
    temporal_tls_key: Path | None = None
    temporal_tls_ca: Path | None = None
    #: The name in the server's certificate, where it is not the address's.
    temporal_tls_server_name: str | None = None
    #: The Web UI's address, for links; nothing is fetched from it.
    temporal_ui_url: str | None = None

    #: Key id → 32 bytes in base64: what may have encrypted payloads in Temporal. Empty: they are not encrypted.
    payload_keys: dict[str, SecretStr] = Field(default_factory=dict)
    #: The one of them that encrypts.
    payload_key_id: str | None = None
    #: `any` and `sealed` are for histories from before there were keys, and before payloads were bound.
    payloads_accepted: PayloadsAccepted = "sealed"
    #: Opens the endpoint that decrypts payloads for Temporal's Web UI; unset means that there is none.
    codec_endpoint_key: SecretStr | None = Field(default=None, min_length=32)

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=0, le=65535)
    #: How long a request's head, and then its body, may take to come.
    api_head_seconds: float = Field(default=10.0, gt=0, le=3600)
    api_body_seconds: float = Field(default=60.0, gt=0, le=3600)
    #: With one more, the connection that has waited longest for its client is closed.
    api_max_connections: int = Field(default=1_000, ge=1, le=100_000)

    #: Where a worker answers Prometheus; unset means nowhere.
    worker_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    worker_metrics_host: str = "127.0.0.1"
    #: The Worker Deployment that workers are builds of; unset: they have no version, and any worker takes any run.
    worker_deployment: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")
    #: The build that a worker is of its deployment; unset: the package's version, and the commit of a checkout.
    worker_build_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}$")
    #: How long a worker that is told to stop lets its steps go on before it cancels them.
    worker_grace_seconds: float = Field(default=8.0, ge=0, le=3600)

    #: Steps that a worker has under way at once, of each kind.
    worker_runs_slots: int = Field(default=100, ge=1, le=10_000)
    worker_llm_slots: int = Field(default=100, ge=1, le=10_000)
    worker_tools_slots: int = Field(default=20, ge=1, le=10_000)

    #: 32 bytes in base64: the key that wraps every organisation's vault keys.
    vault_key: SecretStr | None = None

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    #: An OpenAI-compatible server without a key, such as the embedded one.
    local_model_url: str | None = None
    #: The models that routing chooses from; empty means that llm nodes cannot run.
    models: tuple[ModelOffer, ...] = ()
    #: Requests and tokens a minute that may go to vendors; empty bounds nothing.
    rate_limits: tuple[RateLimit, ...] = ()
    #: Providers whose pinned model calls wait in a task queue of their own, which workers take with `llm:PROVIDER`.
    llm_provider_queues: tuple[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")], ...] = ()
    #: A budget ceiling for a call whose model has no known price; unset means that such calls are refused.
    unpriced_ceiling_micro_usd: int | None = Field(default=None, gt=0)

    #: Bucket name → URL prefix (`file:///…`, `s3://…`) that tools may read below; nothing else is readable.
    buckets: dict[str, str] = Field(default_factory=dict)
    max_document_bytes: int = Field(default=64 * 1024 * 1024, gt=0)
    #: What the processes that read documents may take together; those that find no room wait.
    reader_memory_bytes: int = Field(default=1024 * 1024 * 1024, ge=256 * 1024 * 1024)
    #: The directory that `file.read` reads below, with `{org_id}` where each organisation has its own; unset: none.
    files_directory: str | None = None
    #: `host` or `host:port` that `http.request` may reach though they are no public addresses.
    http_allowed_hosts: tuple[str, ...] = ()
    #: The ports that it may reach of all other hosts.
    http_allowed_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (80, 443)
    #: Name → a secret that headers of `http.request` may refer to.
    tool_secrets: dict[str, ToolSecret] = Field(default_factory=dict)

    #: Name → server of the Model Context Protocol, whose tools documents name `mcp:<name>/<tool>`.
    mcp_servers: dict[McpServerName, McpServer] = Field(default_factory=dict)

    #: Compiled WebAssembly, which is machine code: a folder of this process's user alone. Unset: below `~/.cache`.
    sandbox_cache_directory: Path | None = None
    #: How many code nodes a worker runs at once; each may take its `limits.memory_bytes`.
    sandbox_concurrency: int = Field(default=2, ge=1, le=64)
    #: `file:///…` or `s3://bucket/prefix`: where large content lies; unset means in the database.
    blob_store_url: str | None = None
    #: Content up to this many bytes is in the database all the same.
    blob_inline_bytes: int = Field(default=256 * 1024, ge=0)
    #: The S3 server and its keys; what is left out is read from the usual `AWS_*` variables.
    blob_s3_endpoint: str | None = None
    blob_s3_region: str | None = None
    blob_s3_access_key_id: SecretStr | None = None
    blob_s3_secret_access_key: SecretStr | None = None
    #: Content that nothing refers to is kept this long: it may have been written before its reference.
    blob_grace_hours: int = Field(default=24, ge=2, le=24 * 365)
    #: Finished runs are removed after this many days; unset means never.
    run_retention_days: int | None = Field(default=None, ge=1, le=36_500)
    #: Events that come before their wait are kept this long; 0 refuses them.
    event_keep_hours: int = Field(default=24, ge=0, le=24 * 365)

    #: Runs at work at once, of all organisations and of each; what comes beyond waits for its turn. Unset: no limit.
    max_running_runs: int | None = Field(default=None, ge=1)
    max_running_runs_per_org: int | None = Field(default=None, ge=1)
    #: Runs of an organisation that may wait; what comes beyond is refused. Unset: no limit.
    max_queued_runs_per_org: int | None = Field(default=None, ge=0)
    #: A document's `priority` counts as this at most; 1 is the highest there is.
    highest_priority: int = Field(default=1, ge=1, le=5)

    otel_exporter_otlp_endpoint: str | None = None
    otel_service_name: str = "agentflow"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "json"

    @field_validator("vault_key")
    @classmethod
    def _vault_key_has_32_bytes(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            decode_vault_key(value)
        return value

    @field_validator("payload_keys")
    @classmethod
    def _payload_keys_have_32_bytes(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for key_id, key in value.items():
            _decode_key(key, name=f"the key {key_id!r} of PAYLOAD_KEYS")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; no dotenv and no secrets folder, so there are two places to look, not four."""
        return init_settings, env_settings, _ConfigFile(settings_cls)

    @property
    def effective_database_url(self) -> str:
        """`database_url`, or the one that the `db_*` fields spell."""
        if self.database_url:
            return self.database_url
        url = URL.create(
            "postgresql",
            username=self.db_user,
            password=self.db_password.get_secret_value() or None,
            host=self.db_host,
            port=self.db_port,
            database=self.db_database,
            query={"sslmode": self.db_ssl_mode},
        )
        return url.render_as_string(hide_password=False)

    @property
    def effective_sandbox_cache_directory(self) -> Path:
        """`sandbox_cache_directory`, or the user's cache folder by the XDG specification."""
        if self.sandbox_cache_directory is not None:
            return self.sandbox_cache_directory
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError as error:
            raise ConfigurationError(
                "this process's user has no home directory; set SANDBOX_CACHE_DIRECTORY to a folder of its own"
            ) from error
        return cache / "agentflow" / "sandbox"

    def decoded_payload_keys(self) -> dict[str, bytes]:
        """The keys of payloads, by their ids."""
        return {key_id: _decode_key(key, name=key_id) for key_id, key in self.payload_keys.items()}

    def require_vault_key(self) -> bytes:
        """The 32 bytes of the vault key.

        Raises ConfigurationError when none is set: without it PII could not be kept reversible.
        """
        if self.vault_key is None:
            raise ConfigurationError(
                "VAULT_KEY is not set; personal data cannot be tokenised without it: "
                "set 32 random bytes in base64 (openssl rand -base64 32), the same for every worker"
            )
        return decode_vault_key(self.vault_key)


def decode_vault_key(value: SecretStr) -> bytes:
    """The key's 32 bytes; raises ValueError, without quoting the key, when it is not that."""
    return _decode_key(value, name="VAULT_KEY")


def _decode_key(value: SecretStr, *, name: str) -> bytes:
    try:
        key = base64.b64decode(value.get_secret_value(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{name} is not base64; make one with: openssl rand -base64 32") from error
    if len(key) != 32:
        raise ValueError(f"{name} holds {len(key)} bytes instead of 32; make one with: openssl rand -base64 32")
    return key


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process; raises ConfigurationError that names every setting that is wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}" for problem in error.errors()
        )
        raise ConfigurationError(f"the settings are not valid: {problems}") from error
    except SettingsError as error:
        raise ConfigurationError(
            f"the settings are not valid: {error}; lists and mappings are written as JSON"
        ) from error


class _ConfigFile(PydanticBaseSettingsSource):
    """Reads `configs/config.yaml` (or the file that AGENTFLOW_CONFIG names) in the specification's sections."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        named = os.environ.get("AGENTFLOW_CONFIG")
        path = Path(named) if named else Path("configs/config.yaml")
        if not path.is_file():
            if named:
                raise ConfigurationError(f"AGENTFLOW_CONFIG names {named!r}, which is not a file")
            return {}
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is not valid YAML: {error}") from error
        if not isinstance(document, dict):
            raise ConfigurationError(f"{path} must hold a mapping of sections, such as `database:`")
        values: dict[str, Any] = {}
        for section, content in document.items():
            prefix = _SECTION_PREFIXES.get(section)
            if prefix is None:
                known = ", ".join(sorted(_SECTION_PREFIXES))
                raise ConfigurationError(f"{path}: {section!r} is not a section; the sections are {known}")
            if not isinstance(content, dict | None):
                raise ConfigurationError(f"{path}: {section} must hold a mapping of settings")
            for key, value in (content or {}).items():
                if f"{prefix}{key}" not in Settings.model_fields:
                    raise ConfigurationError(f"{path}: {section}.{key} is not a setting")
                values[f"{prefix}{key}"] = value
        return values
