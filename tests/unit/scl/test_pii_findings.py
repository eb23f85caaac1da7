from scl.models import PiiFinding, PiiKind
from scl.pii_findings import describe_findings, merge_findings, summarise
from scl.pii_patterns import find_pii


def test_every_occurrence_counts_under_its_kind_in_order_of_kind() -> None:
    matches = find_pii("10.1.2.3 a@b.com c@d.com a@b.com")

    findings = summarise(matches)

    assert (PiiFinding(kind=PiiKind.EMAIL, count=3), PiiFinding(kind=PiiKind.IP, count=1)) == findings


def test_findings_of_several_values_add_up() -> None:
    first = (PiiFinding(kind=PiiKind.IP, count=1), PiiFinding(kind=PiiKind.EMAIL, count=2))
    second = (PiiFinding(kind=PiiKind.IP, count=4),)

    merged = merge_findings([*first, *second])

    assert (PiiFinding(kind=PiiKind.EMAIL, count=2), PiiFinding(kind=PiiKind.IP, count=5)) == merged


def test_findings_read_as_a_sentence_would_have_them() -> None:
    findings = (PiiFinding(kind=PiiKind.CARD, count=1), PiiFinding(kind=PiiKind.EMAIL, count=2))

    assert describe_findings(findings) == "1 CARD, 2 EMAIL"
