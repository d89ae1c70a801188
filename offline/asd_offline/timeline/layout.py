"""Find the machines, training recordings and streams of a folder."""

from dataclasses import dataclass
from pathlib import Path

from asd_monitor.audio.files import AUDIO_SUFFIXES, read_header
from asd_monitor.audio.natural_order import natural_key
from asd_monitor.errors import ConfigError, DatasetError, SourceError
from asd_offline.timeline.labels import EXAMPLE, Span, read_spans

TRAIN = "train"
STREAMS = "streams"


@dataclass(frozen=True, slots=True)
class Stream:
    """A long recording with its labels."""

    name: str
    """Name of its file without the suffix."""
    path: Path
    labels: Path
    duration_s: float
    rate_hz: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class MachineStreams:
    """Training recordings and streams of one machine."""

    name: str
    train: tuple[Path, ...]
    streams: tuple[Stream, ...]


def find_machines(
    folder: Path, names: tuple[str, ...], channel: int, *, needs_train: bool
) -> tuple[MachineStreams, ...]:
    """Return the machines of a folder: itself, or its folders that have streams.

    Parameters
    ----------
    folder
        Has ``train/`` and ``streams/``, or holds folders that do.
    names
        Only these machines; empty: all.
    channel
        Channel of the recordings, from 0.
    needs_train
        Whether a machine without training recordings is an error.

    Raises
    ------
    DatasetError
        If there are no streams, a recording cannot be read, or labels are invalid.
    ConfigError
        If a name is unknown.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise DatasetError(
            f"{folder}: expected a folder with {TRAIN}/ and {STREAMS}/, found {found}"
        )
    is_machine = (folder / STREAMS).is_dir()
    folders = (
        [folder]
        if is_machine
        else sorted(
            (path.parent for path in folder.glob(f"*/{STREAMS}") if path.is_dir()), key=natural_key
        )
    )
    by_name = {path.resolve().name: path for path in folders}
    unknown = [name for name in names if name not in by_name]
    if unknown and by_name:
        known = ", ".join(by_name)
        raise ConfigError(f"--machine: {', '.join(unknown)}: not in {folder}, which has: {known}")
    chosen = {name: path for name, path in by_name.items() if not names or name in names}
    if not chosen:
        msg = (
            f"{folder}: expected {STREAMS}/NAME.wav with {STREAMS}/NAME.csv ({EXAMPLE}), or such "
            f"folders by machine, found no folder {STREAMS}"
        )
        raise DatasetError(msg)
    return tuple(
        MachineStreams(name, _find_train(path, needs_train), _find_streams(path, channel))
        for name, path in chosen.items()
    )


def _find_train(folder: Path, is_needed: bool) -> tuple[Path, ...]:
    paths = _find_audio(folder / TRAIN)
    if is_needed and not paths:
        msg = (
            f"{folder}: expected recordings of normal sound in {TRAIN}/, found none; add some, or "
            "name a model file with --model"
        )
        raise DatasetError(msg)
    return paths


def _find_streams(folder: Path, channel: int) -> tuple[Stream, ...]:
    paths = _find_audio(folder / STREAMS)
    if not paths:
        raise DatasetError(f"{folder / STREAMS}: expected recordings, found none")
    names = [path.stem for path in paths]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        msg = (
            f"{folder / STREAMS}: expected one recording per name, found several {duplicates[0]}.*"
        )
        raise DatasetError(msg)
    unused = {path.stem for path in (folder / STREAMS).glob("*.csv")} - set(names)
    if unused:
        msg = (
            f"{folder / STREAMS}: {min(unused)}.csv: expected a recording of that name, found none"
        )
        raise DatasetError(msg)
    return tuple(_open_stream(path, channel) for path in paths)


def _open_stream(path: Path, channel: int) -> Stream:
    labels = path.with_suffix(".csv")
    if not labels.is_file():
        msg = (
            f"{labels}: expected the labels of {path.name}, found no file; for a stream without "
            f"faults write one with the header {EXAMPLE} alone"
        )
        raise DatasetError(msg)
    try:
        header = read_header(path, channel)
    except SourceError as error:
        raise DatasetError(str(error)) from error
    spans = read_spans(labels, header.duration_s)
    return Stream(path.stem, path, labels, header.duration_s, header.rate_hz, spans)


def _find_audio(folder: Path) -> tuple[Path, ...]:
    paths = (path for path in folder.glob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    return tuple(sorted(paths, key=natural_key))
