"""Keys that sign model files: a private key in a file, a public key as text."""

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from asd_monitor.errors import ModelFileError
from asd_monitor.storage.durable import write_durably

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_BYTES = 32
OWN_KEY_FILE = "signing-key.pem"
"""In the state folder: signs what is learned there."""

_PREFIX = "ed25519:"
_MODE = 0o600


def format_key(public: bytes) -> str:
    """Return a public key as the configuration has it."""
    return _PREFIX + base64.b64encode(public).decode()


def check_key(text: str) -> str:
    """Return a public key; raise ValueError unless it is one."""
    try:
        is_key = len(base64.b64decode(text.removeprefix(_PREFIX), validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key or not text.startswith(_PREFIX):
        msg = (
            f"expected a public key such as {_PREFIX}{'A' * 43}=, as `asd-monitor sign --show-key` "
            "prints it"
        )
        raise ValueError(msg)
    return text


PublicKey = Annotated[str, AfterValidator(check_key)]


def create_key(path: Path) -> "Ed25519PrivateKey":
    """Write a new private key that only its owner can read.

    Raises
    ------
    ModelFileError
        If the file exists or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if path.exists():
        raise ModelFileError(f"{path}: exists; a key is never overwritten, so choose another name")
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        write_durably(path, content, mode=_MODE)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be written: {error.strerror}") from error
    return key


def read_key(path: Path) -> "Ed25519PrivateKey":
    """Read a private key.

    Raises
    ------
    ModelFileError
        If it cannot be read, is not an Ed25519 key, or others can read it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        mode = path.stat().st_mode
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError as error:
        msg = f"{path}: there is no key; `asd-monitor sign --new-key {path}` makes one"
        raise ModelFileError(msg) from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        msg = f"{path}: expected a private key without a password, in PEM: {error}"
        raise ModelFileError(msg) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ModelFileError(f"{path}: expected an Ed25519 key, found {type(key).__name__}")
    if mode & 0o077:
        raise ModelFileError(f"{path}: other users can read this key; run `chmod 600 {path}`")
    return key


def public_key(key: "Ed25519PrivateKey") -> str:
    """Return the public key of a private one, as the configuration has it."""
    return format_key(key.public_key().public_bytes_raw())


def own_key(root: Path) -> "Ed25519PrivateKey":
    """Return the key of a state folder, which is made at the first call.

    Raises
    ------
    ModelFileError
        If it can be neither read nor made.
    """
    path = root / OWN_KEY_FILE
    return read_key(path) if path.exists() else create_key(path)


def own_public_key(root: Path) -> str:
    """Return the public key of a state folder; empty if it has none that can be used."""
    path = root / OWN_KEY_FILE
    if not os.access(path, os.R_OK):
        return ""
    try:
        return public_key(read_key(path))
    except ModelFileError:
        return ""
