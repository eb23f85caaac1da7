#!/bin/sh
# Runs the unit tests on every Python from 3.11 on that is found beside that of .venv, each with a .venvs/X.Y of its own.
# Says which were skipped, and why.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || echo .venv/bin/uv)
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

candidates() {
    for version in $promised; do command -v "python$version" || true; done
    if command -v pyenv >/dev/null 2>&1; then
        for python in "$(pyenv root)"/versions/3.*/bin/python; do echo "$python"; done
    fi
}

promised="3.11 3.12 3.13 3.14"
tried=" $(version_of .venv/bin/python) "
failed=""
while read -r python; do
    # A name may stand for a version that is not installed.
    version=$(version_of "$python" </dev/null) || continue
    case " $promised " in *" $version "*) ;; *) continue ;; esac
    case $tried in *" $version "*) continue ;; esac
    tried="$tried$version "
    echo "Python $version: unit tests"
    # Another platform may have no wheel of something; nothing is compiled here.
    if ! UV_PROJECT_ENVIRONMENT=".venvs/$version" "$uv" sync --frozen --all-extras --quiet --no-build --python "$python" \
        </dev/null; then
        echo "Python $version: skipped, its dependencies cannot be installed"
        continue
    fi
    ".venvs/$version/bin/python" -m pytest -q --numprocesses=auto --maxprocesses=4 --dist=loadfile tests/unit \
        </dev/null || failed="$failed $version"
done <<FOUND
$(candidates)
FOUND

for version in $promised; do
    case $tried in *" $version "*) ;; *) echo "Python $version: skipped, it is not here" ;; esac
done
[ -z "$failed" ] || { echo "The unit tests fail on Python$failed" >&2; exit 1; }
