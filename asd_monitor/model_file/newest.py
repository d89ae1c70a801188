"""Remember how new the signed model files in use were, and refuse older replacements.

A signature has no date of expiry: who can write to the folder of a model, and has an earlier file
of the same maker, could otherwise put it back. The time at which the model was made is under the
signature.
"""

import json
import logging
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from asd_monitor.errors import UntrustedModelError
from asd_monitor.storage.durable import make_folder_durably, write_durably

FILE_NAME = "newest.json"

logger = logging.getLogger(__name__)
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class NewestUsed:
    """When the newest model was made that was used of each file.

    Parameters
    ----------
    path
        Where that is kept.
    allow_older
        Whether an older model may be used. It then counts as the newest one, so that it can be
        kept when older ones are refused again.
    """

    path: Path
    allow_older: bool = False

    def check(self, where: Path, key: str, created_at: str) -> None:
        """Raise UntrustedModelError if a newer file of this maker was used from the same path.

        Parameters
        ----------
        where
            The model file.
        key
            Public key of its maker.
        created_at
            When its model was made, as ISO 8601.
        """
        newest = None if self.allow_older else self._read().get(self._name(where, key))
        if newest is not None and datetime.fromisoformat(created_at) < newest:
            msg = (
                f"{where}: its model was made at {created_at}, and a newer one of the same maker, "
                f"of {newest.isoformat()}, was used from this path before: someone may have "
                "replaced it by an older one; to go back on purpose, set `models.allow_older: "
                "true` until it has been loaded once"
            )
            raise UntrustedModelError(msg)

    def note(self, where: Path, key: str, created_at: str) -> None:
        """Remember that a file is used, unless a newer one was."""
        name, made = self._name(where, key), datetime.fromisoformat(created_at)
        with _lock:
            known = self._read()
            newest = known.get(name)
            if newest is not None and (newest == made or (newest > made and not self.allow_older)):
                return
            known[name] = made
            content = {other: at.isoformat() for other, at in known.items()}
            try:
                make_folder_durably(self.path.parent)
                write_durably(self.path, json.dumps(content, indent=1).encode())
            except OSError as error:
                logger.warning("%s: cannot be written: %s", self.path, error.strerror)

    @staticmethod
    def _name(where: Path, key: str) -> str:
        return f"{where.absolute()} {key}"

    def _read(self) -> dict[str, datetime]:
        try:
            content: Any = json.loads(self.path.read_bytes())
            times = {name: datetime.fromisoformat(at) for name, at in content.items()}
            if any(at.tzinfo is None for at in times.values()):
                raise ValueError("expected times with a time zone")
            return times
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            logger.warning("%s: cannot be read, older models are not recognised: %s",
                           self.path, error)  # fmt: skip
            return {}
