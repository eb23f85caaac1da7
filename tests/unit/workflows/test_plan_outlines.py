from typing import cast

from agentflow.blobs import BlobStore
from runs.plan import encode_plan
from runs.plan_outline import outline_of
from tests.unit.workflows.sample_catalog import compiled
from workflows.plan_outlines import PlanOutlines

_PLAN = compiled(
    """\
name: waits
inputs: {properties: {text: {type: string}}}
nodes:
  - {id: signal, type: wait, config: {event: go}}
  - {id: show, type: function, depends: [signal], config: {function_name: now}}
"""
)


class _OneBlob:
    """A store with one plan in it, which counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    async def get(self, *, org_id: str, digest: str) -> bytes:
        self.reads += 1
        assert (org_id, digest) == ("a", encode_plan(_PLAN).digest)
        return encode_plan(_PLAN).content


async def test_an_outline_is_that_of_the_stored_plan_and_is_kept() -> None:
    blobs = _OneBlob()
    plans = PlanOutlines(cast("BlobStore", blobs))

    found = [await plans.get(org_id="a", digest=encode_plan(_PLAN).digest) for _ in range(2)]

    assert [outline_of(_PLAN)] * 2 == found
    assert 1 == blobs.reads
    assert ["signal", "show"] == [node.node_id for node in found[0].nodes]
    assert ["go", None] == [None if node.event is None else node.event.value for node in found[0].nodes]
    assert ("signal",) == found[0].nodes[1].upstream


async def test_the_outline_of_a_plan_that_was_just_recorded_is_not_read() -> None:
    blobs = _OneBlob()
    plans = PlanOutlines(cast("BlobStore", blobs))
    digest = encode_plan(_PLAN).digest

    plans.keep(outline_of(_PLAN), org_id="a", digest=digest)

    assert outline_of(_PLAN) == await plans.get(org_id="a", digest=digest)
    assert 0 == blobs.reads
