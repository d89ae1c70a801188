#!/bin/sh
# Install asd-monitor and its packages into a virtual environment, for install.sh, the Debian
# package and the image:
#   install-packages.sh PREFIX     PREFIX is the virtual environment
# Every package but torch for processors is verified by its SHA-256, those of the build included.
# See install-torch.sh for TORCH and TORCH_INDEX.
set -eu
PREFIX=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
umask 022
# pip unpacks gigabytes in TMPDIR, and /tmp is often in memory. Its cache (~root/.cache) would be
# as large, and upgrades rarely use it.
TMPDIR=$(mktemp -d "$PREFIX/tmp.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' HUP INT TERM
sh systemd/install-torch.sh "$PREFIX/bin/python"
sh systemd/build-wheel.sh "$TMPDIR/wheel" "$PREFIX/bin/python"
requirements=$(sh systemd/requirements-for.sh "$PREFIX/bin/python")
"$PREFIX/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
    --require-hashes --only-binary :all: -r "$requirements"
"$PREFIX/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-index --force-reinstall "$TMPDIR"/wheel/asd_monitor-*.whl
