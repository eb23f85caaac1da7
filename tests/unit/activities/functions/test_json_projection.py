from hypothesis import given
from hypothesis import strategies as st

from activities.functions.json_projection import JSON_PROJECTION
from agentflow.digest import Json
from tests.unit.json_values import JSON_VALUES, TEXTS


@given(st.dictionaries(TEXTS, JSON_VALUES))
def test_the_arguments_come_back_as_an_object_of_their_own(arguments: dict[str, Json]) -> None:
    output = JSON_PROJECTION.call(arguments)

    assert arguments == output
    assert list(arguments) == list(output)
    assert output is not arguments
