#!/bin/sh
# repeat_tests.sh N PATH…: runs tests N times while every core is busy, and stops at the first round that fails.
# Whatever else is given, such as `-k NAME`, goes to pytest. PYTHON names another interpreter than that of .venv.
set -eu
case ${1:-} in
'' | *[!0-9]* | 0*) rounds=0 ;;
*) rounds=$1 ;;
esac
if [ "$rounds" -lt 1 ] || [ $# -lt 2 ]; then
    echo "usage: $0 N PATH… (N rounds, at least 1)" >&2
    exit 2
fi
shift
python=${PYTHON:-.venv/bin/python}

busy=""
# shellcheck disable=SC2086  # Words are meant.
trap '[ -z "$busy" ] || kill $busy 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for _ in $(seq "$(getconf _NPROCESSORS_ONLN)"); do
    # Ends by itself too, when this script was killed and can end it no more.
    "$python" -c "import os
while os.getppid() == $$: sum(range(100_000))" &
    busy="$busy $!"
done

for round in $(seq "$rounds"); do
    echo "round $round of $rounds"
    "$python" -m pytest -q -x "$@" || {
        code=$?
        echo "round $round of $rounds failed (pytest's exit code: $code)" >&2
        exit "$code"
    }
done
echo "$rounds rounds passed"
