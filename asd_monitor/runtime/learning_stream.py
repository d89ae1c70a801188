"""Recordings to learn from as a stream, which another computer reads: ``learn --stream``.

The stream is a tar archive: ``task.json``, then one WAV file of 32-bit floats for each recording,
so that the other computer has the same samples. The answer is the model file. An empty stream asks
only whether the other computer can learn.
"""

import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

import numpy as np

from asd_monitor.audio.lazy_clips import ClipCache, LazyClip
from asd_monitor.errors import ConfigError
from asd_monitor.progress import NoProgress
from asd_monitor.quickstart.training_windows import Recording
from asd_monitor.records import FloatArray
from asd_monitor.runtime.learning import LearningTask, learn_here
from asd_monitor.runtime.recording_store import MAX_IN_MEMORY_SAMPLES

FORMAT = 1
TASK = "task.json"
PROGRESS_KEY = "asd-monitor-progress"
MAX_TASK_BYTES = 2**26
_SOUND = re.compile(r"\d{8}\.wav")


def write_stream(stream: IO[bytes], task: LearningTask, recordings: Sequence[Recording]) -> None:
    """Write a task and its recordings; OSError if the stream cannot be written."""
    import soundfile

    described = [
        {
            "name": recording.name,
            "session": recording.session,
            "start_s": recording.start_s,
            "is_confirmed": recording.is_confirmed,
        }
        for recording in recordings
    ]
    document = {"format": FORMAT, "task": task.to_dict(), "recordings": described}
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        _add(archive, TASK, json.dumps(document).encode())
        for number, recording in enumerate(recordings):
            samples = np.asarray(recording.samples, np.float32)
            content = io.BytesIO()
            soundfile.write(content, samples, task.sample_rate_hz, subtype="FLOAT", format="WAV")
            _add(archive, f"{number:08d}.wav", content.getvalue())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


@contextmanager
def read_stream(stream: io.BufferedReader) -> Iterator[tuple[LearningTask, list[Recording]] | None]:
    """Read what :func:`write_stream` has written; None if the stream is empty.

    The recordings are files in a temporary folder, which is deleted when the block ends.

    Raises
    ------
    ConfigError
        If the stream is something else, or ends too early.
    """
    if not stream.peek(1):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="asd-monitor-learn-") as folder:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                document = _unpack(archive, Path(folder))
        except (tarfile.TarError, EOFError) as error:
            msg = f"stdin: expected recordings as `asd-monitor learn --remote` sends them: {error}"
            raise ConfigError(msg) from error
        yield _read_task(document, Path(folder))


def _unpack(archive: tarfile.TarFile, folder: Path) -> bytes:
    """Write the recordings into a folder, and return the task."""
    document = b""
    for entry in archive:
        content = archive.extractfile(entry)
        if content is not None and entry.name == TASK and entry.size <= MAX_TASK_BYTES:
            document = content.read()
        elif content is not None and entry.isreg() and _SOUND.fullmatch(entry.name):
            with (folder / entry.name).open("wb") as file:
                shutil.copyfileobj(content, file)
        else:
            raise tarfile.ReadError(f"unexpected entry {entry.name!r}")
    return document


def _read_task(document: bytes, folder: Path) -> tuple[LearningTask, list[Recording]]:
    try:
        values = json.loads(document)
        if values["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, found {values['format']!r}")
        task = LearningTask.from_dict(values["task"])
        entries = [(f"{i:08d}.wav", entry) for i, entry in enumerate(values["recordings"])]
        cache, recordings, in_memory = ClipCache(task.sample_rate_hz, channel=0), [], 0
        for name, entry in entries:
            samples: FloatArray | LazyClip = LazyClip(folder / name, cache)
            if in_memory < MAX_IN_MEMORY_SAMPLES:
                samples = cache.read(folder / name)
            in_memory += len(samples)
            recordings.append(Recording(samples=samples, **entry))
    except (ValueError, KeyError, TypeError) as error:
        msg = (
            f"stdin: expected recordings as `asd-monitor learn --remote` sends them ({error}); "
            "install the same version of asd-monitor on both computers"
        )
        raise ConfigError(msg) from error
    return task, recordings


def serve_stream(stdin: io.BufferedReader, stdout: IO[bytes], stderr: TextIO) -> None:
    """Learn from a stream: the model file goes to stdout, progress to stderr.

    Raises
    ------
    AsdMonitorError
        If the stream cannot be read, or nothing can be learned from it.
    """
    with read_stream(stdin) as received:
        if received is None:
            return
        task, recordings = received
        learned = learn_here(task, recordings, StreamProgress(stderr))
    stdout.write(learned.content)
    stdout.flush()


class StreamProgress(NoProgress):
    """Write progress as lines that :func:`parse_progress` reads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Write a line."""
        line = json.dumps({PROGRESS_KEY: [stage, done, total, detail]})
        self._stream.write(line + "\n")
        self._stream.flush()


def parse_progress(line: str) -> tuple[str, float, float, str] | None:
    """Return the arguments of :meth:`StreamProgress.update`; None for another line."""
    if PROGRESS_KEY not in line:
        return None
    try:
        stage, done, total, detail = json.loads(line)[PROGRESS_KEY]
        return str(stage), float(done), float(total), str(detail)
    except (ValueError, KeyError, TypeError):
        return None
