import socket
from pathlib import Path

import pytest

from cli.embedded import ports
from cli.embedded.errors import PortTaken
from cli.embedded.ports import StackPorts, moved_ports


def test_zeros_become_four_different_free_ports() -> None:
    found = StackPorts.any_free().resolve()

    assert len({found.api, found.temporal, found.ui, found.model} - {0}) == 4


@pytest.mark.parametrize(
    ("name", "option"),
    [("api", "--api-port"), ("temporal", "--temporal-port"), ("ui", "--ui-port"), ("model", "--model-port")],
)
def test_a_taken_port_is_refused_with_the_option_that_changes_it(name: str, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        free = StackPorts.any_free()
        wanted = {"api": free.api, "temporal": free.temporal, "ui": free.ui, "model": free.model, name: taken}

        with pytest.raises(PortTaken) as refusal:
            StackPorts(**wanted).resolve()

    assert (taken, option) == (refusal.value.port, refusal.value.option)
    assert option in str(refusal.value)


def test_a_free_port_is_kept_as_it_was_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert port == StackPorts(api=port, temporal=0, ui=0, model=0).resolve().api


def test_a_usual_port_that_is_taken_is_passed_over_for_a_free_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(ports, "USUAL_PORTS", {"api": taken, "temporal": ports.free_port(), "ui": taken})

        found = StackPorts().resolve()

    assert taken not in {found.api, found.ui}
    assert ports.USUAL_PORTS["temporal"] == found.temporal
    assert 4 == len({found.api, found.temporal, found.ui, found.model})


def test_a_port_that_is_asked_for_twice_is_refused() -> None:
    port = ports.free_port()

    with pytest.raises(PortTaken):
        StackPorts(api=port, temporal=0, ui=port, model=0).resolve()


def test_a_free_port_is_none_that_an_outgoing_connection_could_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(ports, "_OUTGOING_RANGE", file)

    file.write_text("20000\t60999\n")
    assert all(10_000 <= ports.free_port() < 20_000 for _ in range(20))

    # Where the system leaves no room, or does not say, it is the system's choice.
    for told in ("1024 65535", "", "no numbers"):
        file.write_text(told)
        assert ports.free_port() > 0
    file.unlink()
    assert ports.free_port() > 0


def test_a_quiet_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(ports, "_quiet_ports", lambda: (taken,))

        assert taken != ports.free_port() > 0


def test_a_port_that_was_left_open_and_moved_is_told_and_no_other() -> None:
    addresses = {"api": "http://127.0.0.1:8081", "temporal": "127.0.0.1:7233", "temporal_ui": "http://127.0.0.1:9000"}

    assert [("api", 8080, 8081), ("ui", 8233, 9000)] == moved_ports(StackPorts(), addresses)
    assert [("api", 8080, 8081)] == moved_ports(StackPorts(ui=0), addresses)
    assert [] == moved_ports(StackPorts(api=8081, ui=9000), addresses)
    assert [("ui", 8233, 9000)] == moved_ports(StackPorts(), {"temporal_ui": "http://127.0.0.1:9000"})
