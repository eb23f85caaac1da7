import json

import pytest

from runs.plan_outline import outline_of
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
    schema = outline_of(compiled(workflow(node("a"), head=_HEAD))).inputs_schema
    given = {"lang": "fr", "options": {"depth": 1}}

    assert {"lang": "en", "options": {"depth": 3}} == json.loads(accepted_inputs({}, schema).content)
    assert given == json.loads(accepted_inputs(given, schema).content)


def test_what_is_given_is_held_against_the_schema_with_the_defaults() -> None:
    schema = outline_of(compiled(workflow(node("a"), head=_HEAD))).inputs_schema

    with pytest.raises(InputsInvalid, match="depth"):
        accepted_inputs({"options": {"depth": "x"}}, schema)
