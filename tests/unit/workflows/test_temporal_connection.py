from pathlib import Path
from typing import Any

import pytest

from agentflow.errors import ConfigurationError
from agentflow.settings import Settings
from workflows.temporal_connection import check_production, connect_temporal, is_production

KEYS: dict[str, Any] = {
    "payload_keys": {"a": "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w="},
    "payload_key_id": "a",
}
REMOTE = "temporal.example.org:7233"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("localhost:7233", False),
        ("127.0.0.1:7233", False),
        ("127.8.8.8:1", False),
        ("[::1]:7233", False),
        (REMOTE, True),
        ("10.0.0.7:7233", True),
        ("[2001:db8::1]:7233", True),
        ("localhost.example.org:7233", True),
        ("0.0.0.0:7233", True),
        ("temporal", True),
    ],
)
def test_temporal_elsewhere_makes_it_production(address: str, expected: bool) -> None:
    assert expected == is_production(Settings(temporal_address=address))


def test_the_setting_wins_over_the_address() -> None:
    assert is_production(Settings(environment="production"))
    assert not is_production(Settings(environment="development", temporal_address=REMOTE))


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, "TEMPORAL_API_KEY.*PAYLOAD_KEYS"),
        (KEYS, "TEMPORAL_TLS_CERT"),
        ({"temporal_api_key": "k"}, "PAYLOAD_KEYS"),
        ({"temporal_tls": True, **KEYS}, "TEMPORAL_API_KEY"),
        ({"temporal_tls_ca": Path("ca.pem"), **KEYS}, "TEMPORAL_API_KEY"),
    ],
)
@pytest.mark.parametrize("place", [{"environment": "production"}, {"temporal_address": REMOTE}])
async def test_production_refuses_to_start_where_others_could_command_it(
    settings: dict[str, Any], missing: str, place: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        await connect_temporal(Settings(**settings, **place), lazy=True)


@pytest.mark.parametrize("identity", [{"temporal_api_key": "k"}, {"temporal_tls_cert": "c", "temporal_tls_key": "k"}])
def test_production_with_an_identity_and_keys_may_start(identity: dict[str, Any]) -> None:
    check_production(Settings(environment="production", **identity, **KEYS))


async def test_a_client_certificate_is_read_and_its_key_too(tmp_path: Path) -> None:
    for name in ("cert", "key", "ca"):
        (tmp_path / f"{name}.pem").write_text(f"-----{name}-----")

    client = await connect_temporal(
        Settings(
            environment="production",
            temporal_tls_cert=tmp_path / "cert.pem",
            temporal_tls_key=tmp_path / "key.pem",
            temporal_tls_ca=tmp_path / "ca.pem",
            temporal_tls_server_name="temporal",
            **KEYS,
        ),
        lazy=True,
    )

    tls: Any = client.service_client.config.tls
    assert (b"-----cert-----", b"-----key-----", b"-----ca-----", "temporal") == (
        tls.client_cert,
        tls.client_private_key,
        tls.server_root_ca_cert,
        tls.domain,
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"temporal_tls_cert": Path("cert.pem")}, "belong together"),
        ({"temporal_tls_key": Path("key.pem")}, "belong together"),
        ({"temporal_tls_ca": Path("/nowhere/ca.pem")}, "TEMPORAL_TLS_CA '/nowhere/ca.pem' cannot be read"),
    ],
)
async def test_certificates_that_cannot_be_are_told(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        await connect_temporal(Settings(**settings), lazy=True)
