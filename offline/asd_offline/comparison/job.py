"""One model with one seed: trained, exported and replayed, and its result kept."""

import errno
import json
import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from asd_monitor.errors import AsdMonitorError, ConfigError, RunError
from asd_offline.comparison.run_result import Outcome, figures_of, lacking_sections
from asd_offline.jobs.pool import Stopped, Tick
from asd_offline.jobs.result_file import write_result
from asd_offline.replay.plan import QUICKSTART

if TYPE_CHECKING:
    from asd_offline.export.export import Exported
    from asd_offline.replay import ReplayResult

TRAINED, EXPORTED = 0.8, 0.9
"""How much of a job's work is done after these stages, roughly."""
REPLAYING = {"fitting": (0.0, 0.4), "scoring": (0.4, 0.9), "drawing": (0.9, 1.0)}
"""How much of a replay is done at the begin and at the end of its stages, roughly."""
FEATURES = "features"
"""Stage of a training that computes features."""
FAULT = "fault.txt"
SHOWN = 200
"""Letters of a fault in the table; all of it is in the file."""


@dataclass(frozen=True, slots=True)
class Data:
    """What all jobs of a comparison share."""

    dataset: Path
    year: int | None
    machines: tuple[str, ...]
    ground_truth: Path | None
    sections: tuple[str, ...]
    """``fan/id_00``: sections with test clips of both labels, so that there can be an AUC."""
    cache: Path
    device: str


@dataclass(frozen=True, slots=True)
class CompareJob:
    """Train, export and replay one model with one seed; what was done before is not repeated."""

    model: str
    seed: int
    recipe: str | None
    """JSON; None for the quick start."""
    networks: int
    data: Data
    folder: Path
    report: bool
    """Whether the replay's report is written, with pictures."""

    @property
    def result(self) -> Path:
        """JSON of an :class:`Outcome`."""
        return self.folder / "result.json"

    @property
    def work(self) -> float:
        """In runs."""
        return 1.0

    def run(self, tick: Tick) -> None:
        """Do it and write the result; a failure is a result, unless the disk is full."""
        meter = Meter(tick)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            outcome = self._outcome(meter)
        except Stopped:
            raise
        except Exception as error:  # the top of a job: recorded, and the other jobs go on
            if _disk_is_full(error):
                raise _full(self.folder, error) from error
            outcome = self._failure(error)
        write_result(self.result, outcome.to_json())
        meter.to(1.0)

    def _outcome(self, meter: "Meter") -> Outcome:
        exported, training_s = None, 0.0
        notes: tuple[str, ...] = ()
        if self.recipe is not None:
            training_s, notes = self._train(meter)
            meter.to(TRAINED)
            exported = self._export(meter)
            meter.to(EXPORTED)
        replayed = self._replay(exported, meter)
        return self._gathered(exported, replayed, training_s, notes)

    def _train(self, meter: "Meter") -> tuple[float, tuple[str, ...]]:
        """Train or go on; return the seconds of all epochs, and what the user should know."""
        import yaml

        from asd_offline.training.distributed import join_process_group
        from asd_offline.training.run import TrainRequest, train

        recipe, run = self.folder / "recipe.yaml", self.folder / "training"
        text = yaml.safe_dump(json.loads(self.recipe or "{}"), sort_keys=False)
        recipe.write_text(text, encoding="utf-8")
        there = (run / "run.json").exists()
        if not there:  # stopped before it had begun
            shutil.rmtree(run, ignore_errors=True)
        progress = TrainingProgress(meter, self.networks)
        with join_process_group(self.data.device) as process:
            request = TrainRequest(
                model=self.model,
                dataset=self.data.dataset,
                out=run,
                cache=self.data.cache,
                machines=self.data.machines,
                year=self.data.year,
                recipe=recipe,
                seed=self.seed,
                resume=there,
            )
            trained = train(request, process, progress)
        return sum(each["seconds"] for each in trained.metrics()), tuple(progress.messages)

    def _export(self, meter: "Meter") -> "Exported":
        from asd_offline.export.export import export

        return export(
            self.folder / "training",
            self.folder / "model.asd",
            self.data.cache,
            dataset=self.data.dataset,
            progress=TrainingProgress(meter, self.networks),
        )

    def _replay(self, exported: "Exported | None", meter: "Meter") -> "ReplayResult":
        from asd_offline.replay import ReplaySettings, replay
        from asd_offline.report import write_report

        out, work = self.folder / "replay", self.folder / "work"
        model = QUICKSTART if exported is None else str(exported.path)
        settings = ReplaySettings(
            dataset=self.data.dataset,
            year=self.data.year,
            machines=self.data.machines,
            model=model,
            ground_truth=self.data.ground_truth,
            out=out if self.report else None,
            work=work,
            device=self.data.device,
            jobs=1,
        )
        replayed = replay(settings, ReplayProgress(meter), write_report)
        for each in (work, out / "work"):
            shutil.rmtree(each, ignore_errors=True)
        return replayed

    def _gathered(
        self,
        exported: "Exported | None",
        replayed: "ReplayResult",
        training_s: float,
        notes: tuple[str, ...],
    ) -> Outcome:
        result = replayed.challenge
        manifests = [each.manifest for each in replayed.sections if each.manifest is not None]
        described = exported.manifest.description if exported else {}
        parameters = described.get("parameters", 0)
        first = manifests[0] if manifests else None
        return Outcome(
            model=self.model,
            seed=self.seed,
            year=replayed.year,
            rules=result.year,
            figures=figures_of(result),
            lacking=lacking_sections(result, self.data.sections),
            clips=sum(len(each.clips) for each in replayed.sections),
            ci95=result.ci95,
            parameters=parameters if isinstance(parameters, int) else 0,
            window_s=first.window_samples / first.sample_rate_hz if first else None,
            hop_s=first.hop_samples / first.sample_rate_hz if first else None,
            training_s=training_s,
            parity=exported.parity if exported else None,
            sha256=exported.sha256 if exported else None,
            notes=tuple(note for note in notes if note not in replayed.notes),
            result=replayed.to_dict(),
        )

    def _failure(self, error: Exception) -> Outcome:
        if isinstance(error, AsdMonitorError):
            refused = isinstance(error, ConfigError)
            return Outcome(self.model, self.seed, failed=str(error), refused=refused)
        path = self.folder / FAULT
        whole = "".join(traceback.format_exception(error))
        path.write_text(whole, encoding="utf-8", errors="backslashreplace")
        told = shorten(f"{type(error).__name__}: {error}", SHOWN, placeholder=" ...")
        text = f"fault of the program: {told} (see {path})"
        return Outcome(self.model, self.seed, failed=text)


class Meter:
    """Turns the share of a job that is done into steps, and lets the job stop there."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self.share = 0.0

    def to(self, share: float) -> None:
        """So much is done, in [0, 1]; never goes back."""
        step = max(0.0, share - self.share)
        self.share += step
        self._tick(step)

    def pause(self) -> None:
        """Nothing to tell, but a chance to stop."""
        self._tick(0.0)


class ReplayProgress:
    """Progress of a replay, as the share of the job that is left when it begins."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._begin = meter, meter.share

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Move the job's share; ``stage`` is one of ``REPLAYING``."""
        first, last = REPLAYING.get(stage, (0.0, 0.0))
        part = first + (last - first) * min(done / total, 1.0) if total else last
        self._meter.to(self._begin + (1.0 - self._begin) * part)

    def message(self, text: str) -> None:
        """A replay has no messages."""


class TrainingProgress:
    """Progress of a training, as a share of the job; stages are networks and ``features``."""

    def __init__(self, meter: Meter, networks: int) -> None:
        self._meter, self._networks = meter, max(1, networks)
        self._started: list[str] = []
        self.messages: list[str] = []

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Move the job's share; the computation of features counts nothing."""
        if stage == FEATURES:
            self._meter.pause()
            return
        if stage not in self._started:
            self._started.append(stage)
        networks_done = self._started.index(stage) + done / total
        self._meter.to(TRAINED * networks_done / self._networks)

    def message(self, text: str) -> None:
        """Keep a sentence for the user."""
        self.messages.append(text)


def _disk_is_full(error: BaseException | None) -> bool:
    """Tell whether a failure goes back to a full disk, which would fail every other job too."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _full(folder: Path, error: Exception) -> AsdMonitorError:
    told = str(error) if isinstance(error, AsdMonitorError) else f"{folder}: {error}"
    return RunError(f"{told}; what was finished is kept: free space and run the same command again")
