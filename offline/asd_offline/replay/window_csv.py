"""Scores of all windows of a replay as CSV."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from asd_monitor.errors import DatasetError
from asd_monitor.storage.csv_cells import plain_cell
from asd_offline.replay.records import ClipResult

WINDOWS = "window_scores.csv"
COLUMNS = (
    "machine",
    "section",
    "file",
    "label",
    "domain",
    "start_s",
    "score",
    "p_value",
    "extrapolated",
    "threshold",
    "quality",
    "level_dbfs",
)


class WindowFile:
    """Writer of ``window_scores.csv``, one clip at a time.

    Parameters
    ----------
    stream
        Open text file; None discards everything.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._writer = None if stream is None else csv.writer(stream, lineterminator="\n")
        if self._writer is not None:
            self._writer.writerow(COLUMNS)

    @classmethod
    @contextmanager
    def open(cls, out: Path | None) -> "Iterator[WindowFile]":
        """Open the file in folder ``out``; it gets its name once it is complete.

        Raises
        ------
        DatasetError
            If it cannot be written.
        """
        if out is None:
            yield cls(None)
            return
        unfinished = out / f".{WINDOWS}.unfinished"
        try:
            out.mkdir(parents=True, exist_ok=True)
            with unfinished.open("w", encoding="utf-8", newline="") as stream:
                yield cls(stream)
            unfinished.replace(out / WINDOWS)
        except OSError as error:
            msg = f"{out / WINDOWS}: cannot be written: {error.strerror or error}"
            raise DatasetError(msg) from error
        finally:
            unfinished.unlink(missing_ok=True)

    def write(self, result: ClipResult, sample_rate_hz: int) -> None:
        """Write the windows of a clip."""
        if self._writer is None:
            return
        clip = result.clip
        label = {0: "normal", 1: "anomaly", None: ""}[clip.label]
        for window in result.windows:
            self._writer.writerow(
                (
                    plain_cell(clip.machine),
                    plain_cell(clip.section),
                    plain_cell(clip.name),
                    label,
                    plain_cell(clip.domain),
                    repr(window.window_start / sample_rate_hz),
                    _cell(window.value),
                    _cell(window.p_value),
                    int(window.extrapolated),
                    _cell(window.threshold),
                    window.quality,
                    _cell(window.level_dbfs),
                )
            )


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)
