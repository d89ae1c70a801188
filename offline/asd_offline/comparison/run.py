"""Compare models on one dataset: every one by the same rule, and nothing done twice."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from asd_monitor import __version__
from asd_monitor.errors import DatasetError, RunError
from asd_monitor.file_lock import file_lock
from asd_offline.comparison.candidates import Entry, choose_entries
from asd_offline.comparison.job import CompareJob, Data
from asd_offline.comparison.run_result import FORMAT, Outcome, read_outcome
from asd_offline.comparison.summary import Comparison, Ran, Row
from asd_offline.comparison.timing import Speed, speed_of
from asd_offline.comparison.writers import write_files
from asd_offline.datasets import Dataset, open_dataset
from asd_offline.datasets.clip import ANOMALY, NORMAL
from asd_offline.jobs.pool import JobPool, cores, stoppable
from asd_offline.replay.run import PRELOADED_MODULES
from asd_offline.training.distributed import check_device

RUNS = "runs"
WORKER_BYTES = 2**32
"""Memory for each run at a time; small recipes took up to 2.2 GB, published ones may take more."""


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """What is compared, and how."""

    dataset: Path
    out: Path
    cache: Path
    models: tuple[str, ...] = ()
    """Names, or ``all``; empty: a sensible few."""
    seeds: int = 4
    machines: tuple[str, ...] = ()
    """Empty: all."""
    year: int | None = None
    ground_truth: Path | None = None
    recipes: Path | None = None
    epochs: int | None = None
    device: str = "auto"
    jobs: int | None = None
    """How many runs at a time; None: as many as cores and free memory allow, one on a GPU."""
    command: str = ""


class Show(Protocol):
    """Whoever shows how a comparison goes."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def progress(self, done: float, whole: float) -> None:
        """So much of all runs is done."""

    def finished(self, outcome: Outcome, done: int, whole: int) -> None:
        """A run is finished, or has failed."""


def compare(settings: CompareSettings, show: Show) -> Comparison:
    """Train, export and replay every model with every seed, and write what came out.

    The rule is the same for all: the recipe as it is given, the last epoch, the model's default
    score, a clip's score as ``replay`` has it. Test labels are looked at once, for the figures. A
    run whose result is there, for the same recipe, data and versions, is not repeated; one that was
    stopped goes on; one that fails does not stop the others.

    Raises
    ------
    ConfigError
        If a model, a recipe or a setting is wrong.
    DatasetError
        If the dataset cannot be opened, has nothing to train on or no labelled test clips.
    RunError
        If the folder is in use, or the disk is full.
    """
    check_device(settings.device)
    dataset = open_dataset(
        settings.dataset, settings.year, settings.ground_truth, settings.machines or None
    )
    sections = _sections_with_labels(dataset)
    entries = choose_entries(
        settings.models,
        dataset,
        recipes=settings.recipes,
        epochs=settings.epochs,
        seeds=settings.seeds,
    )
    for note in (*dataset.notes, *(each.note() for each in entries)):
        show.note(note)
    with _locked(settings.out):
        jobs = _plan(settings, dataset, sections, entries)
        _do(list(jobs), _at_once(settings), show)
        rows = tuple(_row(entry, jobs) for entry in entries)
        comparison = _comparison(settings, dataset, rows)
        write_files(settings.out, comparison)
    return comparison


def _sections_with_labels(dataset: Dataset) -> tuple[str, ...]:
    """Return the sections that can have an AUC; raise DatasetError if there are none."""
    if not dataset.select(split="train"):
        msg = f"{dataset.root}: expected normal training clips, found none"
        raise DatasetError(f"{msg}; put normal recordings into <machine>/train")
    labels: dict[str, set[int | None]] = {}
    for clip in dataset.select(split="test"):
        labels.setdefault(f"{clip.machine}/{clip.section}", set()).add(clip.label)
    found = tuple(name for name, own in labels.items() if {NORMAL, ANOMALY} <= own)
    if found:
        return found
    seen = {label for own in labels.values() for label in own}
    if not seen:
        what = "no test clips"
    elif seen == {None}:
        what = "test clips without labels"
    else:
        what = "no section with both kinds"
    msg = f"{dataset.root}: expected labelled test clips, normal and anomalous; found {what}"
    raise DatasetError(f"{msg}. For an evaluation set give --ground-truth; see docs/datasets.md")


def _plan(
    settings: CompareSettings,
    dataset: Dataset,
    sections: tuple[str, ...],
    entries: Sequence[Entry],
) -> dict[CompareJob, Entry]:
    """Return all runs: every model with the first seed, then with the next, and so on."""
    data = Data(
        settings.dataset,
        settings.year,
        settings.machines,
        settings.ground_truth,
        sections,
        settings.cache,
        settings.device,
    )
    digest = _digest(dataset)
    jobs = {}
    for seed in range(settings.seeds):
        for entry in entries:
            if entry.why_not is not None or seed not in entry.seeds:
                continue
            name = f"{entry.model}-seed{seed}-{_key(entry, seed, digest, settings.device)}"
            recipe = entry.recipe.model_dump_json() if entry.recipe else None
            folder = settings.out / RUNS / name
            job = CompareJob(entry.model, seed, recipe, entry.networks, data, folder, seed == 0)
            jobs[job] = entry
    return jobs


def _key(entry: Entry, seed: int, digest: str, device: str) -> str:
    from asd_offline.training.run_folder import library_versions

    recipe = entry.recipe.model_dump(mode="json") if entry.recipe else None
    facts = [FORMAT, library_versions(), entry.model, recipe, seed, digest, device]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def _digest(dataset: Dataset) -> str:
    """Return a digest of all clips: what they are, their sizes and times of change."""
    digest = hashlib.sha256()
    for clip in dataset.clips:
        try:
            stat = clip.path.stat()
        except OSError:  # rejected with its reason when it is read
            seen = (0, 0)
        else:
            seen = (stat.st_size, stat.st_mtime_ns)
        what = (clip.machine, clip.section, clip.split, clip.name, clip.label, clip.domain)
        digest.update(json.dumps([*what, clip.attributes, *seen]).encode())
    return digest.hexdigest()


def _at_once(settings: CompareSettings) -> int:
    import torch

    if settings.jobs is not None:
        return settings.jobs
    if settings.device != "cpu" and torch.cuda.is_available():
        return 1
    return max(1, min(cores(), _available_bytes() // WORKER_BYTES))


def _available_bytes() -> int:
    """Return how much memory can be had without swapping, caches of files included."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(each.split()[1]) for each in lines if "MemAvailable" in each)
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _do(jobs: Sequence[CompareJob], at_once: int, show: Show) -> None:
    for job in jobs:
        kept = read_outcome(job.result)
        if kept is None or kept.failed is not None:
            job.result.unlink(missing_ok=True)
    waiting = {job: None for job in jobs if not job.result.exists()}
    before = len(jobs) - len(waiting)
    if before:
        show.note(f"{before} of {len(jobs)} runs are there already")

    def report(done: float) -> None:
        for job in [job for job in waiting if job.result.exists()]:
            outcome = read_outcome(job.result)
            if outcome is not None:
                del waiting[job]
                show.finished(outcome, len(jobs) - len(waiting), len(jobs))
        show.progress(before + done, len(jobs))

    with stoppable(), JobPool(at_once, PRELOADED_MODULES) as pool:
        pool.run(jobs, report)
    report(float(len(jobs) - before))


def _row(entry: Entry, jobs: dict[CompareJob, Entry]) -> Row:
    own = [job for job, of in jobs.items() if of is entry]
    ran = tuple(Ran(job.seed, job.folder, read_outcome(job.result)) for job in own)
    return Row(entry, ran, _speed(ran))


def _speed(ran: Sequence[Ran]) -> Speed | None:
    for each in ran:
        if each.outcome is not None and each.outcome.failed is None:
            return speed_of(each.folder)
    return None


def _comparison(settings: CompareSettings, dataset: Dataset, rows: tuple[Row, ...]) -> Comparison:
    from asd_offline.training.run_folder import library_versions

    return Comparison(
        dataset=settings.dataset,
        machines=dataset.machines(),
        seeds=settings.seeds,
        rows=rows,
        year=dataset.year,
        notes=dataset.notes,
        command=settings.command,
        versions=library_versions() | {"asd-monitor": __version__},
    )


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other comparisons out of the folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / ".lock").exists():
            msg = f"{out}: expected a new or empty folder, or one of an earlier comparison"
            raise RunError(f"{msg}; choose another --out")
    except OSError as error:
        msg = f"{out}: cannot be written: {error.strerror}; choose another --out"
        raise RunError(msg) from error
    with file_lock(out / ".lock", RunError, f"{out}: another comparison writes there"):
        yield
