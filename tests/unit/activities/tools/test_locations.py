from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.errors import LocationDenied
from activities.tools.locations import buckets_of, locate

S3 = {"documents": "s3://documents/incoming/", "archive": "s3://documents/incoming/archive", "other": "s3://other"}


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """A folder with a document, beside a secret that is in no bucket."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    folder = tmp_path / "bucket"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a", encoding="utf-8")
    return folder


def test_a_bucket_and_a_key_are_a_document_below_the_buckets_prefix() -> None:
    location = locate(S3, bucket="documents", key="2025/a b.pdf", url=None)

    assert ("s3://documents/incoming/", "2025/a b.pdf") == (location.prefix, location.key)
    assert "a b.pdf" == location.name
    assert "documents/2025/a b.pdf" == str(location)


def test_a_prefix_may_give_each_organisation_its_own_part() -> None:
    buckets = buckets_of({"own": "s3://all/{org_id}/", "shared": "s3://shared/"}, org_id="../acme")

    assert {"own": "s3://all/..%2Facme/", "shared": "s3://shared/"} == buckets


def test_a_url_belongs_to_the_longest_prefix_that_it_lies_below() -> None:
    location = locate(S3, bucket=None, key=None, url="s3://documents/incoming/archive/old%20one.pdf")

    assert ("s3://documents/incoming/archive", "old one.pdf") == (location.prefix, location.key)


@pytest.mark.parametrize(
    "url",
    [
        "s3://documents/a.pdf",
        "s3://documents/incoming",
        "s3://documents/incomingx/a.pdf",
        "s3://OTHER/a.pdf",
        "https://documents/incoming/a.pdf",
        "file:///etc/passwd",
        "/etc/passwd",
    ],
)
def test_a_url_outside_every_prefix_is_denied(url: str) -> None:
    with pytest.raises(LocationDenied) as refusal:
        locate(S3, bucket=None, key=None, url=url)

    assert url == refusal.value.location
    assert "BUCKETS" in str(refusal.value)


def test_an_unknown_bucket_is_denied_with_the_names_of_those_that_are_known() -> None:
    with pytest.raises(LocationDenied, match="archive, documents, other"):
        locate(S3, bucket="elsewhere", key="a.pdf", url=None)


def test_without_buckets_every_bucket_is_denied() -> None:
    with pytest.raises(LocationDenied, match="there is: none"):
        locate({}, bucket="documents", key="a.pdf", url=None)


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "..",
        "../secret.txt",
        "deep/../../secret.txt",
        "deep/./a.txt",
        "/etc/passwd",
        "deep//a.txt",
        "deep/",
        "..\\secret.txt",
        "a.txt\x00.pdf",
        "a.txt\n",
        "\u202etxt.a",
    ],
)
@pytest.mark.parametrize("prefix", ["s3://documents", "file:///srv/documents"])
def test_a_key_that_is_no_plain_path_is_denied(prefix: str, key: str) -> None:
    with pytest.raises(LocationDenied) as refusal:
        locate({"documents": prefix}, bucket="documents", key=key, url=None)

    assert key == refusal.value.location


@pytest.mark.parametrize("path", ["%2e%2e/secret.txt", "deep/%2E./..%2fsecret.txt", "..%5csecret.txt", "a.txt%00"])
def test_percent_encoding_hides_nothing_in_a_url(bucket: Path, path: str) -> None:
    with pytest.raises(LocationDenied):
        locate({"documents": bucket.as_uri()}, bucket=None, key=None, url=f"{bucket.as_uri()}/{path}")


def test_percent_signs_in_a_key_are_letters_like_any_other(bucket: Path) -> None:
    assert "%2e%2e/a.txt" == locate({"d": bucket.as_uri()}, bucket="d", key="%2e%2e/a.txt", url=None).key
    assert (
        "%2e%2e/a.txt"
        == locate({"d": bucket.as_uri()}, bucket=None, key=None, url=f"{bucket.as_uri()}/%252e%252e/a.txt").key
    )


@pytest.mark.parametrize(("link", "target"), [("out.txt", "../secret.txt"), ("out", ".."), ("deep/out", "../..")])
def test_a_symbolic_link_out_of_the_bucket_is_denied(bucket: Path, link: str, target: str) -> None:
    (bucket / link).symlink_to(target)
    key = link if link.endswith(".txt") else f"{link}/secret.txt"

    with pytest.raises(LocationDenied, match="out of its bucket"):
        locate({"documents": bucket.as_uri()}, bucket="documents", key=key, url=None)


def test_a_symbolic_link_that_stays_in_the_bucket_may_be_followed(bucket: Path) -> None:
    (bucket / "deep" / "link.txt").symlink_to("../a.txt")

    assert "deep/link.txt" == locate({"d": bucket.as_uri()}, bucket="d", key="deep/link.txt", url=None).key


@pytest.mark.parametrize("key", ["loop", "ping", "pong", "through.txt", "loop/a.txt", "deep/up"])
def test_a_ring_of_symbolic_links_is_denied(bucket: Path, key: str) -> None:
    for link, target in (
        ("loop", "loop"),
        ("ping", "pong"),
        ("pong", "deep/../ping"),
        ("through.txt", "loop/../a.txt"),
        ("deep/up", "../deep/up/a.txt"),
    ):
        (bucket / link).symlink_to(target)

    with pytest.raises(LocationDenied, match="or nowhere"):
        locate({"documents": bucket.as_uri()}, bucket="documents", key=key, url=None)


@pytest.mark.parametrize(("step", "last"), [("", "../a.txt"), ("missing/../", "../../secret.txt")])
def test_a_chain_of_links_longer_than_the_system_follows_is_denied(bucket: Path, step: str, last: str) -> None:
    for number in range(2_000):
        (bucket / "deep" / f"{number}").symlink_to(f"{step}{number + 1}")
    (bucket / "deep" / "2000").symlink_to(last)

    with pytest.raises(LocationDenied):
        locate({"documents": bucket.as_uri()}, bucket="documents", key="deep/0", url=None)


@pytest.mark.parametrize("target", ["missing/../../secret.txt", "../missing.txt", "a.txt/../../secret.txt"])
def test_a_link_to_nothing_may_not_lead_out_either(bucket: Path, target: str) -> None:
    (bucket / "link").symlink_to(target)

    with pytest.raises(LocationDenied):
        locate({"documents": bucket.as_uri()}, bucket="documents", key="link", url=None)


@pytest.mark.parametrize("key", ["missing.txt", "missing/b.txt", "a.txt/b.txt", "deep/dangling"])
def test_what_is_not_there_is_left_to_the_store_to_tell(bucket: Path, key: str) -> None:
    (bucket / "deep" / "dangling").symlink_to("../missing.txt")

    assert key == locate({"documents": bucket.as_uri()}, bucket="documents", key=key, url=None).key


def test_a_path_that_is_too_long_for_the_system_is_denied(bucket: Path) -> None:
    with pytest.raises(LocationDenied):
        locate({"documents": bucket.as_uri()}, bucket="documents", key="/".join(["a" * 200] * 30), url=None)


def test_a_bucket_that_is_a_symbolic_link_itself_can_be_read(tmp_path: Path, bucket: Path) -> None:
    (tmp_path / "link").symlink_to(bucket)

    location = locate({"documents": (tmp_path / "link").as_uri()}, bucket="documents", key="a.txt", url=None)

    assert "a.txt" == location.key


@given(key=st.text(alphabet="./\\%2eab \x00", min_size=1, max_size=12))
def test_no_key_that_is_accepted_leads_out_of_its_folder(key: str) -> None:
    folder = Path("/srv/documents")
    try:
        location = locate({"documents": folder.as_uri()}, bucket="documents", key=key, url=None)
    except LocationDenied:
        return

    assert (folder / location.key).resolve().is_relative_to(folder)
    assert folder != (folder / location.key).resolve()
