"""`python -m bench.linear_time`: sixteen times the text may take sixteen times the time, and not its square.

For what reads texts of any size, made to keep it busy too. The figures are ratios of processor
time, so they are the same on a slow machine and on a busy one. The last line is JSON; the exit code is 1 when a ratio
is nearer to the square.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping

from activities.functions.text_splitter import split_text
from activities.readers.docx_reader import lines_of_cells
from scl.injection_scorer import score_injection
from scl.pii_patterns import find_pii
from tests.unit.scl.confusing_texts import FOR_INJECTIONS, FOR_PII, megabyte_of

_TIMES_THE_TEXT = 16
#: Between 16, which is linear, and 256, which is quadratic, each a factor of four away.
_HIGHEST_RATIO = 64.0
_LONG_LINES = {"one word": "x" * 1_000_000, "many words": megabyte_of("word "), "sentences": megabyte_of("One. ")}


def cases() -> Mapping[str, tuple[Callable[[str], object], str]]:
    """Name → what reads, and a megabyte of what keeps it busy."""
    return {
        **{f"find_pii {unit[:20]!r}": (find_pii, megabyte_of(unit)) for unit in FOR_PII},
        **{f"score_injection {unit[:20]!r}": (score_injection, megabyte_of(unit)) for unit in FOR_INJECTIONS},
        **{f"lines_of_cells {unit!r}": (lines_of_cells, megabyte_of(unit)) for unit in ("\n", "\n\t", "\t\n\n")},
        **{f"split_text {name}": (_split, line) for name, line in _LONG_LINES.items()},
    }


def _split(text: str) -> object:
    return split_text(text, max_characters=50)


def ratio(read: Callable[[str], object], text: str) -> float:
    """Processor time for `text` by that for its beginning."""
    return _seconds(read, text, rounds=1) / _seconds(read, text[: len(text) // _TIMES_THE_TEXT], rounds=3)


def _seconds(read: Callable[[str], object], text: str, *, rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.thread_time()
        read(text)
        seconds.append(time.thread_time() - began)
    # Less than this tells nothing but the clock's own steps.
    return max(min(seconds), 1e-4)


def main() -> int:
    ratios = {}
    for name, (read, text) in cases().items():
        ratios[name] = round(ratio(read, text), 1)
        print(f"{ratios[name]:6.1f}  {name}", file=sys.stderr, flush=True)
    too_high = {name: value for name, value in ratios.items() if value > _HIGHEST_RATIO}
    print(json.dumps({"highest_ratio": max(ratios.values()), "too_high": too_high}))
    return 1 if too_high else 0


if __name__ == "__main__":
    sys.exit(main())
