import pytest

from tests.unit.workflows.sample_catalog import compiled, node, workflow
from workflows.errors import InputsInvalid
from workflows.run_inputs import accepted_inputs

_HEAD = """\
inputs:
  type: object
  required: [lang]
  properties:
    lang: {type: string, default: en}
    options: {type: object, properties: {depth: {type: integer, default: 3}}}
"""


def test_inputs_that_are_left_out_have_the_defaults_of_the_document() -> None:
    plan = compiled(workflow(node("a"), head=_HEAD))

    assert {"lang": "en", "options": {"depth": 3}} == accepted_inputs(plan, {})
    assert {"lang": "fr", "options": {"depth": 1}} == accepted_inputs(plan, {"lang": "fr", "options": {"depth": 1}})


def test_what_is_given_is_held_against_the_schema_with_the_defaults() -> None:
    plan = compiled(workflow(node("a"), head=_HEAD))

    with pytest.raises(InputsInvalid, match="depth"):
        accepted_inputs(plan, {"options": {"depth": "x"}})
