#!/bin/sh
# Install asd-monitor and its packages into a virtual environment, for install.sh, the Debian
# package and the image:
#   install-packages.sh PREFIX     PREFIX is the virtual environment
# Every package but torch for processors is verified by its SHA-256, those of the build included.
# See install-torch.sh for TORCH and TORCH_INDEX.
set -eu
PREFIX=$1
cd "$(dirname "$0")/.."
umask 022
# pip unpacks gigabytes in TMPDIR, and /tmp is often in memory. Its cache (~root/.cache) would be
# as large, and upgrades rarely use it.
TMPDIR=$(mktemp -d "$PREFIX/tmp.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' HUP INT TERM

pip_install() {
    "$1" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --require-hashes --only-binary :all: -r "$2"
}
sh systemd/install-torch.sh "$PREFIX/bin/python"
"$PREFIX/bin/python" -m venv "$TMPDIR/build"
pip_install "$TMPDIR/build/bin/python" systemd/build-requirements.txt
"$TMPDIR/build/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-cache-dir \
    --no-deps --no-build-isolation --wheel-dir "$TMPDIR/wheel" .
requirements=systemd/requirements.txt
# torch's CPU wheels come from torch's own index, so their hashes are not in the list.
if "$PREFIX/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' 2>/dev/null
then
    requirements=systemd/requirements-without-torch.txt
fi
pip_install "$PREFIX/bin/python" "$requirements"
"$PREFIX/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-index --force-reinstall "$TMPDIR"/wheel/asd_monitor-*.whl
