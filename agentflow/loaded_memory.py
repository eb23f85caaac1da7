"""What a process has loaded stays, and need not be looked through again and again."""

import gc


def keep_what_is_loaded() -> None:
    """Takes modules and what they have made out of the collector's sight.

    They stay anyway, and to look through them again and again takes a tenth of a second each time.
    """
    gc.collect()
    gc.freeze()
