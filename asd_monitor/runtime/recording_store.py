"""Store the normal recordings that a machine is learned from: on disk, and partly in memory."""

import hashlib
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asd_monitor.audio.files import RESAMPLE_QUALITY
from asd_monitor.audio.lazy_clips import ClipCache, LazyClip
from asd_monitor.errors import SourceError
from asd_monitor.records import FloatArray, Window
from asd_monitor.storage.durable import make_folder_durably, write_durably

if TYPE_CHECKING:
    from asd_monitor.quickstart import Recording

logger = logging.getLogger(__name__)

CLIP_S = 10.0
"""Length of the recordings, as in the DCASE datasets."""
MAX_IN_MEMORY_SAMPLES = 28_800_000
"""This much sound stays in memory until it is fitted: 115 MB, 30 min at 16 kHz. The rest, perhaps
a day of it, is read from disk on access."""
CHOICE_S = 60.0
"""The sample rate is chosen from this much sound."""
FINGERPRINT_BYTES = 65_536
"""Recordings that are equal in this many bytes from the middle of the file are the same. A whole
day of them is compared quickly."""

FILE_PATTERN = "normal_id_00_" + "[0-9]" * 8 + ".wav"


class RecordingStore:
    """Normal recordings of one machine, without duplicates.

    Recordings already in the folder are part of the store. One that cannot be read is logged and
    left out.

    Parameters
    ----------
    machine
        Name of the machine, for the log.
    folder
        Where the recordings are kept: ``normal_id_00_<8 digits>.wav``.
    sample_rate_hz
        Sample rate of the clips.
    session
        Name of this run: recordings of the same session are related in time.
    before_write
        Called before each new recording is written.
    choose_rate
        Returns the sample rate to keep recordings at, given the first minute of them; None: that
        of the clips.
    on_disk
        False: new recordings stay in memory and are never written.

    Attributes
    ----------
    machine
        Name of the machine.
    sample_rate_hz
        Sample rate of the recordings.
    recordings
        All recordings, oldest first.
    duration_s
        Their length in seconds.
    """

    def __init__(
        self,
        machine: str,
        folder: Path,
        sample_rate_hz: int,
        session: str,
        before_write: Callable[[], None] = lambda: None,
        choose_rate: Callable[[Sequence[FloatArray]], int] | None = None,
        *,
        on_disk: bool = True,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.recordings: list[Recording] = []
        self.duration_s = 0.0
        self.machine = machine
        self._folder = folder
        self._session = session
        self._before_write = before_write
        self._choose_rate = choose_rate
        self._clip_rate_hz = sample_rate_hz
        self._on_disk = on_disk
        self._cache = ClipCache(sample_rate_hz, channel=0)
        self._seen_digests: set[bytes] = set()
        self._read_existing()

    def _read_existing(self) -> None:
        from asd_monitor.quickstart import Recording

        for path in sorted(self._folder.glob(FILE_PATTERN)):
            try:
                cache = self._cache
                samples = cache.read(path) if self._fits_in_memory() else LazyClip(path, cache)
            except SourceError as error:
                logger.warning("not learned from: %s", error)
                continue
            start_s = int(path.stem[-8:]) * CLIP_S
            self.recordings.append(
                Recording(path.name, samples, session="earlier", start_s=start_s)
            )
            self.duration_s += len(samples) / self.sample_rate_hz
            with path.open("rb") as file:
                file.seek(path.stat().st_size // 2)
                self._seen_digests.add(_digest(file.read(FINGERPRINT_BYTES)))

    def add(self, clip: Window) -> bool:
        """Add a clip and write it to disk; return False for a duplicate, which is not added.

        A recording that cannot be written is logged and stays in memory.
        """
        from asd_monitor.quickstart import Recording

        samples = self._convert(clip.samples)
        content = _encode(samples, self.sample_rate_hz)
        digest = _digest(content[len(content) // 2 :][:FINGERPRINT_BYTES])
        if digest in self._seen_digests:
            return False
        self._seen_digests.add(digest)
        name = next_name(self._folder)
        self._before_write()
        recording = Recording(
            name=name,
            samples=self._write(name, samples, content),
            session=clip.recording or self._session,
            start_s=clip.start / self._clip_rate_hz,
        )
        self.recordings.append(recording)
        self.duration_s += len(samples) / self.sample_rate_hz
        if self.duration_s >= CHOICE_S:
            self.settle_rate()
        return True

    def settle_rate(self) -> None:
        """Choose the sample rate to keep recordings at, once, and convert those there are."""
        choose_rate, self._choose_rate = self._choose_rate, None
        if choose_rate is None or not self.recordings:
            return
        first = self.recordings[: max(1, round(CHOICE_S / CLIP_S))]
        rate_hz = choose_rate([np.asarray(each.samples, np.float32) for each in first])
        if rate_hz == self.sample_rate_hz:
            return
        self.sample_rate_hz, recordings = rate_hz, self.recordings
        self._cache, self.recordings, self.duration_s = ClipCache(rate_hz, channel=0), [], 0.0
        for recording in recordings:
            samples = self._convert(np.asarray(recording.samples, np.float32))
            content = _encode(samples, rate_hz)
            self._seen_digests.add(_digest(content[len(content) // 2 :][:FINGERPRINT_BYTES]))
            kept = self._write(recording.name, samples, content)
            self.recordings.append(replace(recording, samples=kept))
            self.duration_s += len(samples) / rate_hz

    def _convert(self, samples: FloatArray) -> FloatArray:
        """Return samples of the clips' rate at that of the recordings."""
        if self._clip_rate_hz == self.sample_rate_hz:
            return samples
        import soxr

        rates_hz = (self._clip_rate_hz, self.sample_rate_hz)
        return np.asarray(soxr.resample(samples, *rates_hz, quality=RESAMPLE_QUALITY), np.float32)

    def _fits_in_memory(self) -> bool:
        return self.duration_s * self.sample_rate_hz < MAX_IN_MEMORY_SAMPLES

    def _write(self, name: str, samples: FloatArray, content: bytes) -> FloatArray | LazyClip:
        """Write a recording; return its samples, or where they can be read again."""
        if not self._on_disk:
            return samples
        path = self._folder / name
        try:
            make_folder_durably(path.parent)
            write_durably(path, content, unfinished=path.with_suffix(".part"))
            if not self._fits_in_memory():
                return LazyClip(path, self._cache)
        except (OSError, SourceError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            logger.warning(
                "%s: recording %s could not be written (%s); it is learned from memory",
                self.machine, name, reason or error,
            )  # fmt: skip
        return samples


def next_name(folder: Path) -> str:
    """Return the next free DCASE 2020 file name for a normal recording."""
    numbers = [int(path.stem[-8:]) for path in folder.glob(FILE_PATTERN)]
    return f"normal_id_00_{max(numbers, default=-1) + 1:08d}.wav"


def _encode(samples: FloatArray, sample_rate_hz: int) -> bytes:
    """Return the content of a WAV file: 24-bit PCM, so that quiet sound keeps its detail."""
    import soundfile

    content = io.BytesIO()
    soundfile.write(content, samples, sample_rate_hz, subtype="PCM_24", format="WAV")
    return content.getvalue()


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
