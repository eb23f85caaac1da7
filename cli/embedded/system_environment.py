"""What any program needs of the environment to run on this machine; nothing in it is a setting or a secret of ours."""

import os
from typing import Final

_NAMES: Final = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "LANG", "LANGUAGE", "LD_LIBRARY_PATH"),
        *("XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "VIRTUAL_ENV"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8"),
        *("PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONFAULTHANDLER", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
    )
)
#: Of locales, and of the libraries that the model computes with.
_PREFIXES: Final = ("LC_", "OMP_", "GGML_")


def is_of_the_system(name: str) -> bool:
    """Whether every process may have the variable."""
    return name in _NAMES or name.startswith(_PREFIXES)


def system_environment() -> dict[str, str]:
    """The whole environment of a program that takes no setting of ours."""
    return {name: value for name, value in os.environ.items() if is_of_the_system(name)}
