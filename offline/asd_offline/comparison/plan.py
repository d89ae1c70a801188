"""Runs of a comparison, and what identifies them: recipe, seed, data and versions."""

import hashlib
import json
from collections.abc import Sequence

from asd_monitor.errors import DatasetError
from asd_monitor.progress import Progress
from asd_offline.comparison.candidates import Candidate, choose_candidates
from asd_offline.comparison.job import CompareJob, JobSettings
from asd_offline.comparison.run_result import FORMAT
from asd_offline.comparison.settings import CompareSettings
from asd_offline.datasets import Dataset, open_dataset
from asd_offline.datasets.clip import ANOMALY, NORMAL
from asd_offline.jobs.choice import resolve_device
from asd_offline.replay.plan import file_version
from asd_offline.training.distributed import check_device

RUNS = "runs"


def plan_comparison(
    settings: CompareSettings, progress: Progress
) -> tuple[Dataset, Sequence[Candidate], dict[CompareJob, Candidate]]:
    """Open the dataset and return it with the models and their runs."""
    if not settings.cluster:  # the computers of a cluster may have what this one lacks
        check_device(settings.device)
    dataset = open_dataset(
        settings.dataset, settings.year, settings.ground_truth, settings.machines or None
    )
    sections = _labelled_sections(dataset)
    candidates = choose_candidates(
        settings.models,
        dataset,
        configs=settings.configs,
        recipes=settings.recipes,
        epochs=settings.epochs,
        seeds=settings.seeds,
    )
    for text in (*dataset.notes, *(candidate.describe() for candidate in candidates)):
        progress.message(text)
    return dataset, candidates, _plan_jobs(settings, dataset, sections, candidates)


def _labelled_sections(dataset: Dataset) -> tuple[str, ...]:
    """Return the sections that can have an AUC; raise DatasetError if there are none."""
    if not dataset.select(split="train"):
        msg = f"{dataset.root}: expected normal training clips, found none"
        raise DatasetError(f"{msg}; put normal recordings into <machine>/train")
    labels: dict[str, set[int | None]] = {}
    for clip in dataset.select(split="test"):
        labels.setdefault(f"{clip.machine}/{clip.section}", set()).add(clip.label)
    sections = tuple(name for name, values in labels.items() if {NORMAL, ANOMALY} <= values)
    if sections:
        return sections
    all_labels = {label for values in labels.values() for label in values}
    if not all_labels:
        found_text = "no test clips"
    elif all_labels == {None}:
        found_text = "test clips without labels"
    else:
        found_text = "no section with both kinds"
    msg = f"{dataset.root}: expected labelled test clips, normal and anomalous; found {found_text}"
    raise DatasetError(f"{msg}. For an evaluation set give --ground-truth; see docs/datasets.md")


def _plan_jobs(
    settings: CompareSettings,
    dataset: Dataset,
    sections: tuple[str, ...],
    candidates: Sequence[Candidate],
) -> dict[CompareJob, Candidate]:
    """Return all runs: every model with the first seed, then with the next, and so on."""
    shared = JobSettings(
        settings.dataset,
        settings.year,
        settings.machines,
        settings.ground_truth,
        sections,
        settings.cache,
        resolve_device(settings.device, settings.cluster),
        dataset.machines() if settings.each_machine else (),
    )
    digest = _dataset_digest(dataset)
    jobs = {}
    for seed in range(settings.seeds):
        for candidate in candidates:
            if candidate.exclusion is not None or seed not in candidate.seeds:
                continue
            key = _run_key(candidate, seed, digest, settings)
            job = CompareJob(
                candidate.name,
                candidate.model,
                seed,
                candidate.recipe.model_dump_json() if candidate.recipe else None,
                candidate.network_count,
                shared,
                settings.out / RUNS / f"{candidate.name}-seed{seed}-{key}",
                report=seed == 0,
            )
            jobs[job] = candidate
    return jobs


def _run_key(candidate: Candidate, seed: int, digest: str, settings: CompareSettings) -> str:
    """Return a digest of everything that determines the result of a run."""
    from asd_offline.training.run_folder import library_versions

    recipe = candidate.recipe.model_dump(mode="json") if candidate.recipe else None
    facts = [FORMAT, library_versions(), candidate.model, recipe, seed, digest, settings.device]
    if settings.each_machine:
        facts.append("each machine")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]


def _dataset_digest(dataset: Dataset) -> str:
    """Return a digest of all clips with sizes and modification times, supplemental ones too."""
    digest = hashlib.sha256()
    for clip in dataset.clips:
        identity = (clip.machine, clip.section, clip.split, clip.name, clip.label, clip.domain)
        entry = [*identity, clip.attributes, *file_version(clip.path)]
        digest.update(json.dumps(entry).encode())
    for extra in dataset.supplemental:
        entry = [extra.machine, extra.section, extra.content, extra.name, *file_version(extra.path)]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


def data_digest(dataset: Dataset) -> str:
    """Return a digest of names, labels and sizes of all clips, wherever and whenever copied."""
    entries: list[tuple[object, ...]] = sorted(
        (clip.machine, clip.section, clip.split, clip.name, str(clip.label), clip.domain,
         clip.path.stat().st_size)
        for clip in dataset.clips
    )  # fmt: skip
    entries += sorted(
        (extra.machine, extra.section, extra.content, extra.name, extra.path.stat().st_size)
        for extra in dataset.supplemental
    )
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
