from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from observability.telemetry import attributes

#: Names of ours in the conventions' namespace, each with its reason in the table.
_BEYOND_THE_CONVENTIONS = {attributes.PROMPT_VERSION}


def test_each_genai_attribute_is_one_of_the_conventions() -> None:
    ours = {value for name, value in vars(attributes).items() if name.isupper() and str(value).startswith("gen_ai.")}
    metrics = {attributes.METRIC_TOKEN_USAGE, attributes.METRIC_OPERATION_DURATION}
    theirs = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}

    unknown = ours - theirs - metrics

    assert unknown == _BEYOND_THE_CONVENTIONS


def test_no_name_stands_in_the_table_twice() -> None:
    table = [value for name, value in vars(attributes).items() if name.isupper() and isinstance(value, str)]

    assert len(set(table)) == len(table)


def test_the_buckets_are_those_of_the_conventions() -> None:
    assert (*attributes.TOKEN_USAGE_BUCKETS[:3], attributes.TOKEN_USAGE_BUCKETS[-1]) == (1, 4, 16, 67_108_864)
    assert (
        *attributes.OPERATION_DURATION_BUCKETS[:3],
        attributes.OPERATION_DURATION_BUCKETS[-1],
    ) == (0.01, 0.02, 0.04, 81.92)
