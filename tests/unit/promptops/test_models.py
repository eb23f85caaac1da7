from promptops.models import RenderedMessage, Segment, prompt_digest


def test_the_digest_does_not_depend_on_the_order_of_the_schemas_keys() -> None:
    one = prompt_digest(template="x", input_schema={"type": "object", "title": "t"})
    other = prompt_digest(template="x", input_schema={"title": "t", "type": "object"})

    assert one == other


def test_the_digest_tells_templates_schemas_and_no_schema_apart() -> None:
    digests = {
        prompt_digest(template="x", input_schema=None),
        prompt_digest(template="y", input_schema=None),
        prompt_digest(template="x", input_schema={}),
        prompt_digest(template="x", input_schema={"type": "object"}),
    }

    assert len(digests) == 4


def test_a_message_reads_as_its_segments_in_order() -> None:
    message = RenderedMessage(
        role="user", segments=(Segment(text="Say: ", provenance="template"), Segment(text="hello", provenance="input"))
    )

    assert message.text == "Say: hello"
