"""Which model files may run: their signature, their code, and what a trial has found."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asd_monitor.errors import UntrustedModelError
from asd_monitor.model_file.keys import own_public_key
from asd_monitor.model_file.made_here import is_made_here
from asd_monitor.model_file.newest import NewestUsed
from asd_monitor.model_file.runtimes import Runtime
from asd_monitor.model_file.signature import Signature
from asd_monitor.storage.state_location import locate_state

UNSIGNED = "not signed: it is a program, and running it runs code of its maker"
_HINT = (
    "if you trust its maker, add the maker's key to `models.trusted_keys`, or sign the file with "
    "`asd-monitor sign`"
)


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """Whose model files may run, and what runs them.

    Attributes
    ----------
    trusted_keys
        Public keys of makers; if there are any, files of others are refused.
    own_key
        Public key of this monitor, which signs what it learns; empty: it has none yet.
    verdicts
        Folder that remembers the files that have passed a trial; None: this process remembers.
    runtime
        The library that runs them.
    newest
        Remembers how new the files in use were, so that older ones are refused; None: they are not.
    """

    trusted_keys: frozenset[str] = frozenset()
    own_key: str = ""
    verdicts: Path | None = None
    runtime: Runtime = "auto"
    newest: NewestUsed | None = None

    @classmethod
    def of_state(
        cls, root: Path, trusted_keys: Iterable[str] = (), runtime: Runtime = "auto"
    ) -> Self:
        """Return the policy of a state folder with the trusted keys of the configuration."""
        own_key = own_public_key(root)
        return cls(frozenset(trusted_keys), own_key, root / "checked-models", runtime)

    @classmethod
    def of_user(cls, trusted_keys: Iterable[str] = (), runtime: Runtime = "auto") -> Self:
        """Return the policy of the state folder that is used by default."""
        return cls.of_state(locate_state(None, os.environ), trusted_keys, runtime)

    def check_signature(self, signature: Signature | None, sha256: str, where: Path) -> str:
        """Return who signed a file, for people.

        Raises
        ------
        UntrustedModelError
            If its signature does not fit its content, or it may not run.
        """
        if signature is not None and not signature.is_valid:
            msg = (
                f"{where}: its signature does not fit its content: the file was changed after it "
                "was signed, or the signature is that of another file"
            )
            raise UntrustedModelError(msg)
        if self.is_own(signature):
            return "signed here"
        if is_made_here(sha256):
            return "made by this process"
        if signature is None:
            if self.trusted_keys:
                msg = f"{where}: it is not signed, and only signed files are trusted; {_HINT}"
                raise UntrustedModelError(msg)
            return UNSIGNED
        if signature.key in self.trusted_keys:
            return f"signed with the trusted key {signature.key}"
        if self.trusted_keys:
            msg = f"{where}: it is signed with {signature.key}, which is not trusted; {_HINT}"
            raise UntrustedModelError(msg)
        return f"signed with {signature.key}, but no key is trusted in `models.trusted_keys`"

    def check_age(self, signature: Signature | None, created_at: str, where: Path) -> None:
        """Raise UntrustedModelError if a newer file of the same trusted maker was used before."""
        if self.newest is not None and signature is not None and self._is_of_maker(signature):
            self.newest.check(where, signature.key, created_at)

    def note_use(self, signature: Signature | None, created_at: str, where: Path) -> None:
        """Remember that a file of a trusted maker is used."""
        if self.newest is not None and signature is not None and self._is_of_maker(signature):
            self.newest.note(where, signature.key, created_at)

    def _is_of_maker(self, signature: Signature) -> bool:
        return signature.key in self.trusted_keys and not self.is_own(signature)

    def is_own(self, signature: Signature | None) -> bool:
        """Return whether this monitor signed the file, so that it needs no trial."""
        return signature is not None and signature.is_valid and signature.key == self.own_key
