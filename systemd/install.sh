#!/bin/sh
# Install asd-monitor as a systemd service, as root:
#   the program in its own virtual environment   $PREFIX          (/opt/asd-monitor)
#   the unit                                     /etc/systemd/system/asd-monitor@.service
#   the documented example of a configuration    /etc/asd-monitor/example.yaml
# Run it again to upgrade; running monitors are restarted. For packagers: with DESTDIR set, only
# the unit and the example are installed, below it.
set -eu
cd "$(dirname "$0")/.."
PREFIX=${PREFIX:-/opt/asd-monitor}
DESTDIR=${DESTDIR:-}
PYTHON=${PYTHON:-python3}

install_files() {
    install -d "$DESTDIR/etc/systemd/system" "$DESTDIR/etc/asd-monitor"
    sed "s|/opt/asd-monitor/|$PREFIX/|g" 'systemd/asd-monitor@.service' \
        > "$DESTDIR/etc/systemd/system/asd-monitor@.service"
    chmod 644 "$DESTDIR/etc/systemd/system/asd-monitor@.service"
    install -m 644 configs/monitor.yaml "$DESTDIR/etc/asd-monitor/example.yaml"
}

if [ -n "$DESTDIR" ]; then
    install_files
    exit 0
fi

if [ "$(id -u)" -ne 0 ]; then
    echo "install.sh: expected to be root, found user $(id -un): run it with sudo" >&2
    exit 1
fi
# The service runs as a dynamic user that cannot see home folders.
case $PREFIX in /home/*|/root/*)
    echo "install.sh: PREFIX=$PREFIX is in a home folder, which the service cannot read" >&2
    exit 1 ;;
esac
umask 022
test -x "$PREFIX/bin/python" || "$PYTHON" -m venv "$PREFIX"
# pip unpacks gigabytes in TMPDIR, and /tmp is often in memory. Its cache (~root/.cache) would be
# as large, and upgrades rarely use it.
TMPDIR=$(mktemp -d "$PREFIX/tmp.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' HUP INT TERM
sh systemd/install-torch.sh "$PREFIX/bin/python"
# Every other package is verified by its SHA-256, those of the build included.
pip_install() {
    "$1" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --require-hashes --only-binary :all: -r "$2"
}
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
install -D -m 644 docs/operations.md "$PREFIX/share/doc/operations.md"
install_files
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # A running monitor would start capture processes of the new version.
    systemctl try-restart 'asd-monitor@*.service'
fi
cat <<END
Installed. For a machine called pump:
  sudo cp /etc/asd-monitor/example.yaml /etc/asd-monitor/pump.yaml    # and edit it
  $PREFIX/bin/asd-monitor check /etc/asd-monitor/pump.yaml
  sudo systemctl enable --now asd-monitor@pump
  systemctl status asd-monitor@pump
END
