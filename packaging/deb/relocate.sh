#!/bin/sh
# Let a virtual environment work in the folder where the package installs it:
#   relocate.sh ENVIRONMENT FOLDER
set -eu
environment=$(cd "$1" && pwd)
folder=$2
# The scripts of packages start with the path of the interpreter. The build's own path can be too
# long for that, and pip then writes two lines for /bin/sh.
for script in "$environment"/bin/*; do
    if [ -L "$script" ]; then continue; fi
    case $(head -c 2 "$script") in '#!') ;; *) continue ;; esac
    if [ "$(head -n 1 "$script")" = '#!/bin/sh' ] && sed -n 2p "$script" | grep -q "^'''exec'"; then
        sed -i '1,3d' "$script"
        sed -i "1i #!$folder/bin/python" "$script"
    fi
    sed -i "1s|^#!$environment/bin/[^ ]*|#!$folder/bin/python|" "$script"
done
# They name the build's path in many lines, and a service does not need them.
rm -f "$environment"/bin/activate* "$environment"/bin/Activate*
sed -i "s|$environment|$folder|g" "$environment/pyvenv.cfg"
# Files that name where packages were unpacked.
find "$environment" -name direct_url.json -path '*asd_monitor-*' -delete
