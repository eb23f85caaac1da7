#!/bin/sh
# Creates .venv and installs the locked dependencies; uv itself comes from pip when it is not there.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

"$python" - <<'CHECK'
import sys

if sys.version_info < (3, 11):
    sys.exit(f"AgentFlow needs Python 3.11 or later; this is {sys.version.split()[0]} (set PYTHON=/path/to/python3.11)")
CHECK

if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    # What installs everything else is pinned as well; to be raised by hand, after a look at what changed.
    uv_version=0.13.9
    # It would take itself away with a .venv of another interpreter.
    version="import sys; print(sys.version)"
    if [ "$(.venv/bin/python -c "$version" 2>/dev/null || true)" != "$("$python" -c "$version")" ]; then
        "$python" -m venv --clear .venv
    fi
    case "$(.venv/bin/uv --version 2>/dev/null || true)" in
    "uv $uv_version" | "uv $uv_version "*) ;;
    *)
        echo "Setting up uv $uv_version in .venv"
        .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
        ;;
    esac
    uv=.venv/bin/uv
fi

# `--inexact` leaves uv itself where it is.
# UV_GROUPS names further dependency groups, such as those of a bench.
groups=""
for group in ${UV_GROUPS:-}; do groups="$groups --group $group"; done
# shellcheck disable=SC2086  # Words are meant.
UV_PROJECT_ENVIRONMENT=.venv "$uv" sync --frozen --inexact --all-extras --python "$python" $groups
