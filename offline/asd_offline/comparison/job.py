"""Job of a comparison: train, export and replay one model with one seed."""

import errno
import json
import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING
from urllib.parse import quote

from asd_monitor.errors import AsdMonitorError, ConfigError, RunError
from asd_offline.comparison.machine_runs import merge_machines
from asd_offline.comparison.progress import (
    EXPORTED,
    TRAINED,
    ReplayProgress,
    RunProgress,
    TrainingProgress,
)
from asd_offline.comparison.run_result import RunResult, metrics_by_machine, missing_sections
from asd_offline.jobs.pool import Stopped, Tick
from asd_offline.jobs.result_file import write_result
from asd_offline.replay.plan import QUICKSTART

if TYPE_CHECKING:
    from asd_offline.export.export import Exported
    from asd_offline.replay import ReplayResult

TRACEBACK = "traceback.txt"
MAX_ERROR_LENGTH = 200
"""Characters of an internal error in the table; the file has all of it."""


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What all jobs of a comparison share."""

    dataset: Path
    year: int | None
    machines: tuple[str, ...]
    ground_truth: Path | None
    sections: tuple[str, ...]
    """Sections with test clips of both labels, so that there can be an AUC: ``fan/id_00``."""
    cache: Path
    device: str
    separate: tuple[str, ...] = ()
    """Machines that are trained and scored separately, each with a window as long as its clips;
    empty: all together."""


@dataclass(frozen=True, slots=True)
class Part:
    """Machines that are trained and scored together."""

    machines: tuple[str, ...]
    """Empty: all."""
    folder: Path


@dataclass(frozen=True, slots=True)
class CompareJob:
    """Train, export and replay one model with one seed; finished stages are not repeated."""

    name: str
    """Name of the model, or of its recipe's file."""
    model: str
    seed: int
    recipe: str | None
    """JSON; None for quick-start."""
    network_count: int
    settings: JobSettings
    folder: Path
    report: bool
    """Whether the replay writes its files and report."""

    @property
    def result(self) -> Path:
        """JSON of a :class:`RunResult`."""
        return self.folder / "result.json"

    @property
    def work(self) -> float:
        """Number of runs."""
        return 1.0

    def run(self, tick: Tick) -> None:
        """Run and write the result; a failure is a result, unless the disk is full."""
        progress = RunProgress(tick)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            result = self._run(progress)
        except Stopped:
            raise
        except Exception as error:  # recorded, so that the other jobs continue
            if _is_disk_full(error):
                text = str(error)
                if not isinstance(error, AsdMonitorError):
                    text = f"{self.folder}: {error}"
                msg = f"{text}; finished runs are kept: free space and run the same command again"
                raise RunError(msg) from error
            result = self._failure(error)
        write_result(self.result, result.to_json())
        progress.advance_to(1.0)

    def _parts(self) -> list[Part]:
        if not self.settings.separate:
            return [Part(self.settings.machines, self.folder)]
        return [
            Part((machine,), self.folder / f"machine-{quote(machine, safe='')}")
            for machine in self.settings.separate
        ]

    def _run(self, progress: RunProgress) -> RunResult:
        parts = self._parts()
        results = []
        for index, part in enumerate(parts):
            part.folder.mkdir(parents=True, exist_ok=True)
            results.append(self._run_part(part, progress.part(index, len(parts))))
        if not self.settings.separate:
            return results[0][0]
        return merge_machines(results, self.settings.sections)

    def _run_part(self, part: Part, progress: RunProgress) -> tuple[RunResult, "ReplayResult"]:
        exported, training_s = None, 0.0
        notes: tuple[str, ...] = ()
        if self.recipe is not None:
            training = TrainingProgress(progress, self.network_count)
            training_s = self._train(part, training)
            notes = tuple(training.messages)
            progress.advance_to(TRAINED)
            exported = self._export(part, training)
            progress.advance_to(EXPORTED)
        replayed = self._replay(part, exported, ReplayProgress(progress))
        return self._combine(exported, replayed, training_s, notes)

    def _train(self, part: Part, progress: TrainingProgress) -> float:
        """Train, or resume a training that was stopped; return the seconds of all epochs."""
        import yaml

        from asd_offline.training.distributed import join_process_group
        from asd_offline.training.run import TrainRequest, train

        recipe, run = part.folder / "recipe.yaml", part.folder / "training"
        text = yaml.safe_dump(json.loads(self.recipe or "{}"), sort_keys=False)
        recipe.write_text(text, encoding="utf-8")
        resume = (run / "run.json").exists()
        if not resume:  # stopped before it had created the run
            shutil.rmtree(run, ignore_errors=True)
        with join_process_group(self.settings.device) as process:
            request = TrainRequest(
                model=self.model,
                dataset=self.settings.dataset,
                out=run,
                cache=self.settings.cache,
                machines=part.machines,
                year=self.settings.year,
                recipe=recipe,
                seed=self.seed,
                resume=resume,
            )
            trained = train(request, process, progress)
        return float(sum(epoch["seconds"] for epoch in trained.metrics()))

    def _export(self, part: Part, progress: TrainingProgress) -> "Exported":
        from asd_offline.export.export import export

        return export(
            part.folder / "training",
            part.folder / "model.asd",
            self.settings.cache,
            dataset=self.settings.dataset,
            progress=progress,
        )

    def _replay(
        self, part: Part, exported: "Exported | None", progress: ReplayProgress
    ) -> "ReplayResult":
        from asd_offline.replay import ReplaySettings, replay
        from asd_offline.report import write_report

        out, work = part.folder / "replay", part.folder / "work"
        settings = ReplaySettings(
            dataset=self.settings.dataset,
            year=self.settings.year,
            machines=part.machines,
            model=QUICKSTART if exported is None else str(exported.path),
            ground_truth=self.settings.ground_truth,
            out=out if self.report else None,
            work=work,
            device=self.settings.device,
            jobs=1,
        )
        replayed = replay(settings, progress, write_report)
        for folder in (work, out / "work"):
            shutil.rmtree(folder, ignore_errors=True)
        return replayed

    def _combine(
        self,
        exported: "Exported | None",
        replayed: "ReplayResult",
        training_s: float,
        notes: tuple[str, ...],
    ) -> tuple[RunResult, "ReplayResult"]:
        challenge = replayed.challenge
        manifests = [section.manifest for section in replayed.sections if section.manifest]
        manifest = manifests[0] if manifests else None
        parameters = exported.manifest.description.get("parameters", 0) if exported else 0
        result = RunResult(
            model=self.model,
            seed=self.seed,
            year=replayed.year,
            rules=challenge.year,
            metrics=metrics_by_machine(challenge),
            missing=missing_sections(challenge, self.settings.sections),
            clips=sum(len(section.clips) for section in replayed.sections),
            ci95=challenge.ci95,
            parameters=parameters if isinstance(parameters, int) else 0,
            window_s=manifest.window_samples / manifest.sample_rate_hz if manifest else None,
            hop_s=manifest.hop_samples / manifest.sample_rate_hz if manifest else None,
            training_s=training_s,
            parity=exported.parity if exported else None,
            sha256=exported.sha256 if exported else None,
            notes=tuple(note for note in notes if note not in replayed.notes),
            result=replayed.to_dict(),
        )
        return result, replayed

    def _failure(self, error: Exception) -> RunResult:
        if isinstance(error, AsdMonitorError):
            unsuitable = isinstance(error, ConfigError)
            return RunResult(self.model, self.seed, failure=str(error), unsuitable=unsuitable)
        path = self.folder / TRACEBACK
        text = "".join(traceback.format_exception(error))
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        summary = shorten(f"{type(error).__name__}: {error}", MAX_ERROR_LENGTH, placeholder=" ...")
        return RunResult(self.model, self.seed, failure=f"internal error: {summary} (see {path})")


def _is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error was caused by a full disk, which would fail all other jobs too."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
