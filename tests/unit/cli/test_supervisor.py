from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cli.embedded.ports import StackPorts
from cli.embedded.supervisor import StackOptions

port = st.integers(min_value=0, max_value=65535)


@given(
    folder=st.text(min_size=1).filter(lambda name: "\x00" not in name),
    ports=st.builds(StackPorts, api=port, temporal=port, ui=port, model=port),
    with_model=st.booleans(),
    with_services=st.booleans(),
)
def test_options_survive_the_way_to_the_background_process(
    folder: str, ports: StackPorts, with_model: bool, with_services: bool
) -> None:
    options = StackOptions(data_dir=Path(folder), ports=ports, with_model=with_model, with_services=with_services)

    assert options == StackOptions.from_json(options.to_json())
