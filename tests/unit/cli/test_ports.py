import socket

import pytest

from cli.embedded.errors import PortTaken
from cli.embedded.ports import StackPorts


def test_zeros_become_four_different_free_ports() -> None:
    ports = StackPorts.any_free().resolve()

    assert len({ports.api, ports.temporal, ports.ui, ports.model} - {0}) == 4


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
