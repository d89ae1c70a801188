#!/bin/sh
# Install asd-monitor as a systemd service, as root:
#   the program in its own virtual environment   $PREFIX          (/opt/asd-monitor)
#   a link to it, if there is no other file      /usr/local/bin/asd-monitor
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
    example=$DESTDIR/etc/asd-monitor/example.yaml
    if [ -f "$example" ] && ! cmp -s configs/monitor.yaml "$example"; then
        cp -p "$example" "$example.old" # it may have been edited
    fi
    install -m 644 configs/monitor.yaml "$example"
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
sh systemd/install-packages.sh "$PREFIX"
link=/usr/local/bin/asd-monitor
if [ -L "$link" ] || [ ! -e "$link" ]; then ln -sfn "$PREFIX/bin/asd-monitor" "$link"; fi
install_files
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    # A running monitor would start capture processes of the new version.
    systemctl try-restart 'asd-monitor@*.service'
fi
cat <<END
Installed. For a machine called pump:
  sudo cp /etc/asd-monitor/example.yaml /etc/asd-monitor/pump.yaml    # and edit it
  asd-monitor check /etc/asd-monitor/pump.yaml
  sudo systemctl enable --now asd-monitor@pump
  systemctl status asd-monitor@pump
END
