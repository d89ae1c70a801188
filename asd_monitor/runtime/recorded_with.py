"""Which microphones recorded a machine's normal sound: a file in the folder of its recordings."""

import json
import logging
from pathlib import Path

from asd_monitor.sources.microphone.identity import MicrophoneIdentity

FILE_NAME = "microphones.json"

logger = logging.getLogger(__name__)


class RecordedWith:
    """The microphones of the recordings in a folder, oldest first.

    Parameters
    ----------
    folder
        The machine's folder in ``recordings/``; the file moves with it into the archive.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._microphones = _read(self._path)

    @property
    def microphones(self) -> list[MicrophoneIdentity]:
        """The microphones; empty if there are no recordings, or they come from files."""
        return list(self._microphones)

    def add(self, microphone: MicrophoneIdentity | None) -> None:
        """Note a microphone before its first recording is written; None for recordings of files.

        A failure to write is logged: the recordings themselves are of more value.
        """
        if microphone is None or (self._microphones and self._microphones[-1] == microphone):
            return
        others = [known for known in self._microphones if known != microphone]
        self._microphones = [*others, microphone]
        content = json.dumps([known.to_dict() for known in self._microphones], indent=1)
        unfinished = self._path.with_suffix(".part")
        try:
            unfinished.write_text(content + "\n", encoding="utf-8")
            unfinished.replace(self._path)
        except OSError as error:
            logger.warning("%s: cannot be written: %s", self._path, error.strerror)


def _read(path: Path) -> list[MicrophoneIdentity]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        logger.warning("%s: cannot be read, so it is not known which microphone made the "
                       "recordings: %s", path, error)  # fmt: skip
        return []
    found = map(MicrophoneIdentity.from_json, values if isinstance(values, list) else [])
    return [microphone for microphone in found if microphone is not None]
