#!/bin/sh
# Build the wheel of this tree with build packages that are verified by their SHA-256:
#   build-wheel.sh FOLDER [PYTHON]      FOLDER is where the wheel is written
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
python=${2:-python3}
cd "$(dirname "$0")/.."
build=$(mktemp -d "$folder/build.XXXXXX")
trap 'rm -rf "$build"' EXIT
trap 'exit 1' HUP INT TERM
"$python" -m venv "$build"
"$build/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
    --require-hashes --only-binary :all: -r systemd/build-requirements.txt
"$build/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-cache-dir \
    --no-deps --no-build-isolation --wheel-dir "$folder" .
