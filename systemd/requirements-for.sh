#!/bin/sh
# Print the list of hashed packages for the torch that install-torch.sh has installed:
#   requirements-for.sh PYTHON      PYTHON is the interpreter of a virtual environment
# torch's CPU wheels come from torch's own index, so their hashes are in no list.
set -eu
# torch cannot be imported yet: its own dependencies are in the list.
if "$1" -c 'import sys
from importlib.metadata import version
sys.exit(not version("torch").endswith("+cpu"))' 2>/dev/null
then
    echo systemd/requirements-without-torch.txt
else
    echo systemd/requirements.txt
fi
