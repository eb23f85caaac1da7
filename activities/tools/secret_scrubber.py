"""Takes secrets out of what a server says: a host that echoes a request must not show its author the secret in it."""

import base64
import re
from collections.abc import Collection, Iterable, Iterator
from urllib.parse import quote

REPLACEMENT = b"[secret]"
#: What is shorter occurs by chance; a whole value is looked for whatever its length.
_SHORTEST_PART = 6
_PIECE_BYTES = 64 * 1024
#: The longest spelling of one byte: `&#x0000ff;`.
_LONGEST_ESCAPE = 10


class SecretScrubber:
    """Knows secrets as they are, and in the encodings in which programs show them."""

    def __init__(self, values: Collection[str]) -> None:
        secrets = {secret for value in values for secret in _secrets_in(value) if secret}
        forms = {form for secret in secrets for form in _forms(secret)}
        longest_first = sorted((form for form in forms if form), key=len, reverse=True)
        plain = b"|".join(re.escape(form) for form in longest_first)
        # In any case of letters: the name of a host, for one, is read in small ones.
        self._pattern = re.compile(plain, re.IGNORECASE) if longest_first else None
        spelled = [_spelled(secret) for secret in sorted(secrets, key=len, reverse=True)]
        self._escaped = re.compile(b"|".join(spelled), re.IGNORECASE) if spelled else None
        self._longest_form = max(map(len, longest_first), default=0)
        self._longest_spelling = _LONGEST_ESCAPE * max((len(_raw(secret)) for secret in secrets), default=0)

    def scrub(self, content: bytes) -> bytes:
        """`content` with `[secret]` where a secret stood; a thread that scrubs leaves the others their turn."""
        if self._pattern is None or self._escaped is None:
            return content
        content = b"".join(_replaced(self._pattern, content, longest=self._longest_form))
        # The signs that escapes begin with: without one of them there is nothing more to find.
        if not any(sign in content for sign in (b"%", b"\\", b"&")):
            return content
        return b"".join(_replaced(self._escaped, content, longest=self._longest_spelling))

    def scrub_text(self, text: str) -> str:
        """The same of a text."""
        return self.scrub(text.encode("utf-8", errors="surrogatepass")).decode("utf-8", errors="replace")


def _replaced(pattern: re.Pattern[bytes], content: bytes, *, longest: int) -> Iterator[bytes]:
    """As `pattern.sub`, in pieces; no match has more than `longest` bytes.

    One search holds the interpreter's lock to its end. So each is of what begins in a piece, with what may follow it.
    """
    done = begin = 0
    while begin < len(content):
        end = begin + _PIECE_BYTES
        for match in pattern.finditer(content, begin, end + longest):
            if match.start() >= end:
                break
            yield content[done : match.start()]
            yield REPLACEMENT
            done = match.end()
        begin = max(end, done)
    yield content[done:]


def _secrets_in(value: str) -> Iterator[str]:
    """The whole value, and what in it is secret by itself: a token behind its scheme, a password behind its user."""
    yield value
    scheme, _, rest = value.strip().partition(" ")
    token = rest.strip()
    if len(token) >= _SHORTEST_PART:
        yield token
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(token, validate=True).decode()
        except ValueError:
            return
        yield from (part for part in (pair, pair.partition(":")[2]) if len(part) >= _SHORTEST_PART)


def _forms(secret: str) -> Iterator[bytes]:
    raw = _raw(secret)
    yield raw
    yield from (secret.encode(encoding, errors="replace") for encoding in ("utf-16-le", "utf-16-be"))
    if len(raw) < _SHORTEST_PART:
        return
    yield raw[::-1]
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    yield from _base64_forms(raw)


def _raw(secret: str) -> bytes:
    return secret.encode("utf-8", errors="replace")


def _base64_forms(raw: bytes) -> Iterable[bytes]:
    """Base64 of any text that has the secret in it, by where in a group of three bytes it begins."""
    for before in range(3):
        encoded = base64.b64encode(b"\x00" * before + raw)
        # The characters that depend on the secret alone.
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        core = encoded[first:last]
        yield core
        yield core.replace(b"+", b"-").replace(b"/", b"_")
        yield quote(core, safe="").encode()


def _spelled(secret: str) -> bytes:
    """The secret with any of its characters written as an escape of URLs, JSON or HTML."""
    return b"".join(_any_spelling(byte) for byte in _raw(secret))


def _any_spelling(byte: int) -> bytes:
    code = b"%02x" % byte
    plain = re.escape(bytes([byte]))
    return b"(?:%s|%%(?:25)?%s|\\\\u00%s|\\\\x%s|&#0{0,4}%d;|&#x0{0,4}%s;%s)" % (
        plain,
        code,
        code,
        code,
        byte,
        code,
        _NAMED.get(byte, b""),
    )


_NAMED = {0x20: rb"|\+", 0x22: rb"|&quot;|\\\"", 0x26: b"|&amp;", 0x2F: rb"|\\/", 0x3C: b"|&lt;", 0x3E: b"|&gt;"}
