import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.readers.charsets import UnknownCharset, decoded, known_charset

FRENCH = "Le café au lait est à côté de l’été – 12 €"
RUSSIAN = "Привет, это простой русский текст для проверки кодировки"
POLISH = "Zażółć gęślą jaźń, to jest tekst po polsku"
JAPANESE = "これは日本語のテキストです。文字コードの検出を確認します。"


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00\ufeff")))
async def test_a_text_in_utf_8_is_read_as_it_is(text: str) -> None:
    assert text == await decoded(text.encode())


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        (FRENCH, "cp1252", "ISO-8859-1"),
        (FRENCH, "cp1252", "windows-1252"),
        (FRENCH, "cp1252", "US-ASCII"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
        (JAPANESE, "shift_jis", '"x-sjis"'),
        (POLISH, "utf-16-le", "utf-16"),
    ],
)
async def test_a_declared_charset_is_honoured(text: str, encoding: str, charset: str) -> None:
    assert text == await decoded(text.encode(encoding), charset=charset)


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        ("Łódź café", "utf-8", "iso-8859-1"),
        ("caf\u00e9", "cp1252", "utf-8"),
        ("plain", "ascii", "rot13"),
        ("plain", "ascii", "unicode_escape"),
        ("plain", "ascii", "no-such-charset"),
        (FRENCH, "cp1252", "hex"),
    ],
)
async def test_a_charset_that_lies_or_does_not_exist_is_not_believed(text: str, encoding: str, charset: str) -> None:
    assert text == await decoded(text.encode(encoding), charset=charset)


@pytest.mark.parametrize(
    "mark_and_codec",
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
async def test_a_byte_order_mark_wins_and_is_no_part_of_the_text(mark_and_codec: tuple[bytes, str]) -> None:
    mark, codec = mark_and_codec

    assert POLISH == await decoded(mark + POLISH.encode(codec), charset="iso-8859-1")
    assert not await decoded(mark)


@pytest.mark.parametrize(
    ("page", "media_type"),
    [
        ("<html><head><meta charset=iso-8859-2></head>Łódź", "text/html"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-2">Łódź', "text/html"),
        ('<?xml version="1.0" encoding="iso-8859-2"?><a>Łódź</a>', "application/xml"),
    ],
)
async def test_what_a_page_declares_of_itself_is_honoured(page: str, media_type: str) -> None:
    assert page == await decoded(page.encode("iso-8859-2"), media_type=media_type)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (FRENCH, "cp1252"),
        ("caf\u00e9 au lait", "latin-1"),
        ("name;city\r\nJosé;Málaga\r\n", "cp1252"),
        (RUSSIAN, "cp1251"),
        (POLISH, "cp1250"),
        (JAPANESE, "shift_jis"),
        ("Plain text without a mark", "utf-16-be"),
        ('{"a":1}', "utf-16-le"),
    ],
)
async def test_without_a_word_the_bytes_tell(text: str, encoding: str) -> None:
    assert text == await decoded(text.encode(encoding))


async def test_one_broken_character_does_not_spoil_the_rest() -> None:
    half = RUSSIAN.encode()

    assert f"{RUSSIAN}\ufffd{RUSSIAN}" == await decoded(half + b"\xff" + half)


async def test_what_is_no_text_is_not_read() -> None:
    with pytest.raises(UnknownCharset):
        await decoded(bytes(range(256)) * 8)


def test_encodings_that_are_no_charsets_are_not_known() -> None:
    assert [None] * 5 == [known_charset(label) for label in ("zlib", "base64", "utf-7", "idna", None)]
