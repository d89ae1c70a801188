"""Ed25519 signatures of model files, in the comment at the end of the archive.

All bytes before the comment are signed: members cannot be changed, added, removed or reordered,
and a signature does not fit another file. Programs that do not know signatures skip the comment.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asd_monitor.model_file.keys import KEY_BYTES, format_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_START = b"asd-monitor-signature 1 "
_PURPOSE = b"signature 1 of a model file of asd-monitor\n"
_SIGNATURE_BYTES = 64
_COMMENT_BYTES = len(_START) + 44 + 1 + 88
"""Key and signature are in Base64."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of a model file."""

    key: str
    """The public key, as in the configuration."""
    is_valid: bool
    """Whether the owner of the key signed exactly this content."""


def sign(content: bytes, key: "Ed25519PrivateKey") -> bytes:
    """Return the content of a model file with a signature, which replaces an earlier one."""
    content = _without_signature(content)
    public = key.public_key().public_bytes_raw()
    signature = key.sign(_message(content))
    comment = _START + base64.b64encode(public) + b" " + base64.b64encode(signature)
    return content[:-2] + len(comment).to_bytes(2, "little") + comment


def read_signature(content: bytes) -> Signature | None:
    """Verify the signature of a model file; None if there is none."""
    comment = content[-_COMMENT_BYTES:]
    if not comment.startswith(_START):
        return None
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key_text, _, signature_text = comment.removeprefix(_START).partition(b" ")
    try:
        public = base64.b64decode(key_text, validate=True)
        signature = base64.b64decode(signature_text, validate=True)
        if len(public) != KEY_BYTES or len(signature) != _SIGNATURE_BYTES:
            return Signature("", is_valid=False)
        stated_bytes = content[-_COMMENT_BYTES - 2 : -_COMMENT_BYTES]
        is_comment = stated_bytes == _COMMENT_BYTES.to_bytes(2, "little")
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, _message(_without_signature(content))
        )
    except binascii.Error:
        return Signature("", is_valid=False)
    except (InvalidSignature, ValueError):
        return Signature(format_key(public), is_valid=False)
    return Signature(format_key(public), is_valid=is_comment)


def _without_signature(content: bytes) -> bytes:
    """Return the archive with an empty comment."""
    if not content[-_COMMENT_BYTES:].startswith(_START):
        return content
    return content[: -_COMMENT_BYTES - 2] + b"\0\0"


def _message(unsigned: bytes) -> bytes:
    return _PURPOSE + hashlib.sha256(unsigned).digest()
