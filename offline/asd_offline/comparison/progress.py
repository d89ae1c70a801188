"""Progress of one run of a comparison, as the share of it that is complete."""

from asd_offline.jobs.pool import Tick

TRAINED, EXPORTED = 0.8, 0.9
"""Approximate share of a run that is complete after these stages."""
REPLAY_STAGES = {"fitting": (0.0, 0.4), "scoring": (0.4, 0.9), "drawing": (0.9, 1.0)}
"""Approximate share of a replay that is complete before and after each of its stages."""
FEATURES = "features"
"""Stage of a training that computes features."""


class RunProgress:
    """Pass the progress of a run on to its job, which may raise an exception to stop the run."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self.share = 0.0

    def advance_to(self, share: float) -> None:
        """Set the complete share, in [0, 1]; a smaller one than before is ignored."""
        step = max(0.0, share - self.share)
        self.share += step
        self._tick(step)

    def part(self, index: int, count: int) -> "RunProgress":
        """Return the progress of one of ``count`` equal parts of the run."""
        return self if count == 1 else _PartProgress(self, index, count)


class _PartProgress(RunProgress):
    """Progress of a part of a run."""

    def __init__(self, whole: RunProgress, index: int, count: int) -> None:
        super().__init__(lambda _: whole.advance_to((index + self.share) / count))


class TrainingProgress:
    """Progress of a training, whose stages are its networks and ``features``."""

    def __init__(self, run: RunProgress, network_count: int) -> None:
        self._run, self._network_count = run, max(1, network_count)
        self._networks: list[str] = []
        self.messages: list[str] = []

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Advance the run; computing features counts nothing."""
        if stage == FEATURES:
            self._run.advance_to(self._run.share)
            return
        if stage not in self._networks:
            self._networks.append(stage)
        complete = self._networks.index(stage) + done / total
        self._run.advance_to(TRAINED * complete / self._network_count)

    def message(self, text: str) -> None:
        """Keep a message for the user."""
        self.messages.append(text)


class ReplayProgress:
    """Progress of a replay, which is the rest of a run."""

    def __init__(self, run: RunProgress) -> None:
        self._run, self._start = run, run.share

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Advance the run; ``stage`` is one of ``REPLAY_STAGES``."""
        first, last = REPLAY_STAGES[stage]
        complete = first + (last - first) * min(done / total, 1.0) if total else last
        self._run.advance_to(self._start + (1.0 - self._start) * complete)

    def message(self, text: str) -> None:
        """Do nothing: a replay sends no messages."""
