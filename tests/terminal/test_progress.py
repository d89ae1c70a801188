"""Progress without a terminal: few lines, with the remaining time."""

import io

from asd_monitor.terminal.progress import LINE_INTERVAL_S, PlainProgress


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_stage_prints_one_line_per_interval_and_one_at_its_end() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    for done in range(101):
        progress.update("scoring", done, 100)
        clock.now_s += LINE_INTERVAL_S / 20
    lines = stream.getvalue().splitlines()
    assert lines[0] == "scoring: 20 %, about 40 s left"
    assert lines[-1] == "scoring: 100 %"
    assert len(lines) == 5


def test_time_left_counts_only_what_was_done_in_this_run() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock)
    progress.update("clips", 50, 100)
    clock.now_s = 10.0
    progress.update("clips", 60, 100)
    assert stream.getvalue() == "clips: 60 %, about 40 s left\n"


def test_the_latest_detail_is_printed() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, Clock())
    progress.update("autoencoder", 1, 2, "loss 0.5")
    progress.update("autoencoder", 2, 2)
    assert stream.getvalue() == "autoencoder: 100 %, loss 0.5\n"
