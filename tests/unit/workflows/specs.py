"""Documents as specs, or as what is wrong with their form."""

import pytest

from workflows.dag_document import parse_document
from workflows.dag_spec import DagSpec, read_spec
from workflows.errors import SpecInvalid, SpecProblem


def spec_of(text: str) -> DagSpec:
    return read_spec(parse_document(text))


def problems_of(text: str) -> tuple[SpecProblem, ...]:
    with pytest.raises(SpecInvalid) as refusal:
        spec_of(text)
    return refusal.value.problems


def problem_of(text: str) -> SpecProblem:
    (problem,) = problems_of(text)
    return problem
