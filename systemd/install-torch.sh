#!/bin/sh
# Install the torch that suits this computer, before the packages that depend on it:
#   install-torch.sh PYTHON      PYTHON is the interpreter of a virtual environment
#   TORCH=auto  cuda if an NVIDIA device is present, else cpu (the default)
#   TORCH=cpu   torch for processors, from torch's own package index: about 1.1 GB with all
#               packages
#   TORCH=cuda  torch for NVIDIA GPUs, from the default package index: about 5.5 GB
# TORCH_INDEX is the index of CPU builds, for example a mirror.
set -eu
PYTHON=$1
TORCH=${TORCH:-auto}
TORCH_INDEX=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
version=$(sed -n 's/^torch==//p' "$(dirname "$0")/../constraints.txt")

if [ "$TORCH" = auto ]; then
    TORCH=cpu
    if [ -e /dev/nvidiactl ] || [ -e /proc/driver/nvidia/version ]; then TORCH=cuda; fi
fi
case $TORCH in cpu | cuda) ;; *)
    echo "install-torch.sh: expected TORCH=auto, cpu or cuda, found TORCH=$TORCH" >&2
    exit 2 ;;
esac

installed=$("$PYTHON" - <<'END'
from importlib.metadata import PackageNotFoundError, version
try:
    print(version("torch"))
except PackageNotFoundError:
    print("none")
END
)
if [ "$TORCH" = cuda ]; then
    case $installed in
        *+cpu) "$PYTHON" -m pip uninstall --quiet --disable-pip-version-check --yes torch ;;
        "$version"*) exit 0 ;;
    esac
    echo "installing torch $version for NVIDIA GPUs: about 5.5 GB with all packages" \
        "(TORCH=cpu needs about 1.1 GB)"
    exit 0 # the packages that are installed next require it
fi
[ "$installed" != "$version+cpu" ] || exit 0
echo "installing torch $version for processors: about 1.1 GB with all packages" \
    "(TORCH=cuda is for NVIDIA GPUs, 5.5 GB)"
if "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps \
    --retries 1 --timeout 15 --index-url "$TORCH_INDEX" "torch==$version+cpu"; then
    exit 0
fi
size="torch $installed"
[ "$installed" != none ] || size="about 5.5 GB with all packages"
echo "install-torch.sh: torch $version+cpu was not found at $TORCH_INDEX;" \
    "using the default torch instead ($size)" >&2
