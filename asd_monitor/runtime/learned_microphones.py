"""Which microphones a machine was learned with: noted with its recordings and in its model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from asd_monitor.config import Config
from asd_monitor.errors import ModelFileError
from asd_monitor.runtime.recording_notes import read_notes, write_notes
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources.microphone.identity import MicrophoneIdentity

FILE_NAME = "microphones.json"
TRAINING_KEY = "microphones"
"""Entry of a model's manifest, in ``training``; absent if the model was learned from files."""


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
        """Note a microphone before its first recording is written; None for recordings of files."""
        if microphone is None or self._microphones[-1:] == [microphone]:
            return
        others = [known for known in self._microphones if known.stable_id != microphone.stable_id]
        self._microphones = [*others, microphone]
        write_notes(self._path, [known.to_dict() for known in self._microphones], indent=1)


def _read(path: Path) -> list[MicrophoneIdentity]:
    consequence = ", so it is not known which microphone made the recordings"
    found = map(MicrophoneIdentity.from_json, read_notes(path, consequence))
    return [microphone for microphone in found if microphone is not None]


def training_entry(
    microphones: Sequence[MicrophoneIdentity],
) -> dict[str, list[dict[str, str]]]:
    """Return the entry of a manifest's ``training`` that names the microphones; else nothing."""
    return {TRAINING_KEY: [known.to_dict() for known in microphones]} if microphones else {}


def learned_with(training: Mapping[str, object]) -> list[MicrophoneIdentity]:
    """Return the microphones that :func:`training_entry` has written into a manifest."""
    values = training.get(TRAINING_KEY)
    found = map(MicrophoneIdentity.from_json, values if isinstance(values, list) else [])
    return [known for known in found if known is not None]


def learned_microphones(
    config: Config, state: StateFolder, machine: str, *, relearn: bool = False
) -> list[MicrophoneIdentity]:
    """Return the microphones that a machine was learned with, or is being learned with.

    They are those of its model, or of its recordings if there is none or ``relearn`` is set.
    A model that cannot be read has none.
    """
    from asd_monitor.model_file import read_manifest

    path = config.machines[machine].model or state.model_path(machine)
    if not relearn and path.exists():
        try:
            return learned_with(read_manifest(path)[0].training)
        except ModelFileError:
            return []
    return RecordedWith(state.recordings_path(machine).parent).microphones
