#!/bin/sh
# Build the Debian package from this tree, without root:
#   build.sh [FOLDER]      FOLDER is where the package is written; dist/ by default
# The package contains the program with all its packages in a virtual environment of its own, so
# that it installs without a network and dpkg can verify, upgrade and remove every file.
#   PYTHON    the system's Python, which the package then depends on (/usr/bin/python3)
#   TORCH     cpu or cuda, see systemd/install-torch.sh
#   COMPRESSION  zstd (fast) or xz (smaller)
#   WHEEL     for tests: a wheel of asd-monitor that is installed alone, without its packages
set -eu
cd "$(dirname "$0")/../.."
OUTPUT=${1:-dist}
PYTHON=${PYTHON:-/usr/bin/python3}
WHEEL=${WHEEL:-}
COMPRESSION=${COMPRESSION:-zstd}
HOME_FOLDER=/usr/lib/asd-monitor
here=packaging/deb
umask 022

for tool in dpkg-deb dpkg "$PYTHON"; do
    command -v "$tool" >/dev/null || {
        echo "build.sh: expected $tool, found none; it runs on Debian and Ubuntu" >&2
        exit 1
    }
done
"$PYTHON" -c 'import sys, ensurepip; sys.exit(sys.prefix != sys.base_prefix)' 2>/dev/null || {
    echo "build.sh: expected PYTHON=$PYTHON to be the system's, with the package python3-venv" >&2
    exit 1
}

mkdir -p "$OUTPUT"
work=$(mktemp -d "$OUTPUT/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
root=$work/root
environment=$root$HOME_FOLDER
mkdir -p "$root/usr/lib"
chmod 755 "$root"

# The interpreter by its version: a link to python3 would break when the system gets another one.
interpreter=$("$PYTHON" -c 'import sys
print("python%d.%d" % sys.version_info[:2])')
binary=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.executable))')
"$binary" -m venv "$environment"
ln -sf "$binary" "$environment/bin/python"
ln -sf python "$environment/bin/python3"
ln -sf python "$environment/bin/$interpreter"
if [ -n "$WHEEL" ]; then
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --no-index --no-compile "$WHEEL"
    "$environment/bin/python" -m pip uninstall --quiet --yes setuptools pip
else
    sh systemd/install-packages.sh "$environment"
fi
version=$("$environment/bin/python" -c 'from importlib.metadata import version
print(version("asd-monitor"))')
# A version such as 1.0.dev1 comes before 1.0.
version=$(echo "$version" | sed -E 's/\.?(dev|a|b|rc)([0-9]*)/~\1\2/')
architecture=$(dpkg --print-architecture)

sh $here/relocate.sh "$environment" "$HOME_FOLDER"
# Bytecode names its source, for tracebacks, by the path after installation. It is not compared with
# the times of files, which dpkg-deb changes. -B: what Python imports at its start would be compiled
# in the usual way before, and be left so.
find "$environment" -name __pycache__ -prune -exec rm -rf {} +
"$environment/bin/python" -B -m compileall -q -j 0 --invalidation-mode unchecked-hash \
    -s "$root" -p / "$environment/lib" || true # some packages contain files for other versions

install -d "$root/usr/bin" "$root/usr/lib/systemd/system" "$root/etc/asd-monitor" \
    "$root/usr/share/doc/asd-monitor/examples" "$root/usr/share/man/man1" \
    "$root/usr/share/lintian/overrides" "$root/DEBIAN"
ln -s ../lib/asd-monitor/bin/asd-monitor "$root/usr/bin/asd-monitor"
sed "s|/opt/asd-monitor/|$HOME_FOLDER/|g" 'systemd/asd-monitor@.service' \
    > "$root/usr/lib/systemd/system/asd-monitor@.service"
# Not in /etc: dpkg would ask about an edited example at each upgrade, and stop where no one answers.
install -m 644 configs/monitor.yaml "$root/usr/share/doc/asd-monitor/examples/monitor.yaml"
cp -r configs/prometheus configs/grafana configs/mosquitto \
    "$root/usr/share/doc/asd-monitor/examples/"
install -m 644 docs/operations.md "$root/usr/share/doc/asd-monitor/"
install -m 644 $here/copyright "$root/usr/share/doc/asd-monitor/copyright"
install -m 644 $here/lintian-overrides "$root/usr/share/lintian/overrides/asd-monitor"
gzip -9n < packaging/asd-monitor.1 > "$root/usr/share/man/man1/asd-monitor.1.gz"
epoch=$(git log -1 --format=%ct 2>/dev/null || date +%s)
maintainer=$(sed -n 's/^Maintainer: //p' $here/control)
{
    printf 'asd-monitor (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n' "$version"
    printf ' -- %s  %s\n' "$maintainer" "$(LC_ALL=C date -Ru -d "@$epoch")"
} | gzip -9n > "$root/usr/share/doc/asd-monitor/changelog.gz"
gzip -9n < CHANGELOG.md > "$root/usr/share/doc/asd-monitor/CHANGELOG.md.gz"

for script in postinst prerm postrm; do
    install -m 755 "$here/$script" "$root/DEBIAN/$script"
done
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@PYTHON@/$interpreter/" \
    -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" \
    $here/control > "$root/DEBIAN/control"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
chmod -R u+rwX,go=rX "$root"
chmod 755 "$root"/DEBIAN/p*

SOURCE_DATE_EPOCH=$epoch dpkg-deb --root-owner-group -Z"$COMPRESSION" --build "$root" \
    "$OUTPUT/asd-monitor_${version}_$architecture.deb" >/dev/null
echo "$OUTPUT/asd-monitor_${version}_$architecture.deb"
