"""Recordings in files, read one after the other."""

import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from asd_monitor.audio.files import (
    AUDIO_SUFFIXES,
    RecordingHeader,
    describe_silent_channel,
    iter_recording,
    read_header,
)
from asd_monitor.audio.natural_order import natural_key
from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray
from asd_monitor.unicode_names import find_path

logger = logging.getLogger(__name__)


def find_recordings(paths: Iterable[Path]) -> list[tuple[str, Path]]:
    """List the recordings of files and folders, each with a name: its path within the folder.

    Raises
    ------
    SourceError
        If a path does not exist, or a folder holds no recording.
    """
    recordings: list[tuple[str, Path]] = []
    for path in map(find_path, paths):
        if path.is_file():
            recordings.append((path.name, path))
        elif path.is_dir():
            found = (file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
            files = sorted(found, key=natural_key)
            if not files:
                msg = f"{path}: expected recordings, found none ({', '.join(AUDIO_SUFFIXES)})"
                raise SourceError(msg)
            recordings += [(str(file.relative_to(path)), file) for file in files]
        else:
            raise SourceError(f"{path}: expected a recording or a folder of them, found nothing")
    return recordings


class Playlist:
    """Sound of recordings in sequence; unreadable ones are skipped and reported in the log.

    Parameters
    ----------
    machine
        Name of the machine, for the log.
    paths
        Files, or folders whose recordings are read in the natural order of their names.
    sample_rate_hz
        Sample rate of the result.
    channel
        Which channel, from 0.
    loop
        Start again after the last recording, unless none could be read.

    Attributes
    ----------
    recording
        Name of the recording that the last samples came from. Repetitions have names of their
        own (``pump.wav#2``), as windows must not span two of them.
    rate_hz
        Its sample rate, before it is converted; None before the first recording.
    has_ended
        True after the last recording.

    Raises
    ------
    SourceError
        If a path does not exist, or a folder holds no recording.
    """

    def __init__(
        self,
        machine: str,
        paths: Iterable[Path],
        sample_rate_hz: int,
        channel: int,
        *,
        loop: bool,
    ) -> None:
        self._machine = machine
        self._recordings = find_recordings(paths)
        self._sample_rate_hz = sample_rate_hz
        self._channel = channel
        self._loop = loop
        self.recording = self._recordings[0][0]
        self.rate_hz: int | None = None
        self.has_ended = False
        self._blocks = self._read_blocks()
        self._pending: FloatArray = np.zeros(0, np.float32)
        self._errors: dict[Path, str] = {}

    def take(self, max_samples: int | None) -> FloatArray:
        """Return up to ``max_samples`` of one recording; none after the last recording."""
        while not len(self._pending):
            try:
                self.recording, self.rate_hz, self._pending = next(self._blocks)
            except StopIteration:
                self.has_ended = True
                break
        samples = self._pending[:max_samples]
        self._pending = self._pending[len(samples) :]
        return samples

    def describe_errors(self) -> str:
        """Return how many recordings were skipped, and why; empty if none was."""
        if not self._errors:
            return ""
        first = next(iter(self._errors.values()))
        total = len(self._recordings)
        return f"skipped {len(self._errors)} of {total} recordings; first: {first}"

    def _report(self, path: Path, reason: str) -> None:
        """Report, once, that a recording cannot be used."""
        if reason and path not in self._errors:
            logger.warning("%s: skipped: %s", self._machine, reason)
            self._errors[path] = reason

    def duration_s(self) -> float:
        """Return the length of all readable recordings in seconds, by their headers."""
        return sum(header.duration_s for header in self._headers())

    def rates_hz(self) -> list[int]:
        """Return the sample rates of all readable recordings, in ascending order."""
        return sorted({header.rate_hz for header in self._headers()})

    def _headers(self) -> Iterator[RecordingHeader]:
        for _, path in self._recordings:
            with suppress(SourceError):
                yield read_header(path, self._channel)

    def close(self) -> None:
        """Close the file that is being read."""
        self._blocks.close()

    def _read_blocks(self) -> Generator[tuple[str, int, FloatArray], None, None]:
        """Yield the recording's name, its sample rate and its samples, block by block."""
        repetition = 0
        while True:
            repetition += 1
            any_readable = False
            for name, path in self._recordings:
                label = name if repetition == 1 else f"{name}#{repetition}"
                try:
                    rate_hz = read_header(path, self._channel).rate_hz
                    silent = True
                    for samples in iter_recording(path, self._sample_rate_hz, self._channel):
                        silent = silent and not samples.any()
                        any_readable = any_readable or len(samples) > 0
                        yield label, rate_hz, samples
                    if silent:
                        self._report(path, describe_silent_channel(path, self._channel))
                except SourceError as error:
                    self._report(path, str(error))
            if not self._loop or not any_readable:
                return
