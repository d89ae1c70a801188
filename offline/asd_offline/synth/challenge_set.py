"""Make a small dataset of synthetic machines in the layout of a challenge."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from asd_monitor.errors import ConfigError
from asd_monitor.progress import Progress
from asd_offline.datasets.challenge import Challenge, SetName
from asd_offline.datasets.clip import SupplementalContent
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.layouts.attribute_words import HIDDEN
from asd_offline.synth.attributes import attributes_of
from asd_offline.synth.conditions import conditions_of
from asd_offline.synth.file_names import (
    NamedClip,
    anonymous_file_name,
    clip_folder,
    label_files,
    labelled_file_name,
    supplemental_file_name,
)
from asd_offline.synth.machines import MACHINE_FAULTS
from asd_offline.synth.render import SAMPLE_RATE_HZ, ClipPlan, render
from asd_offline.synth.seeds import derive_seed
from asd_offline.synth.writer import (
    claim_folder,
    run_jobs,
    write_manifest,
    write_text,
    write_wav,
)

CLIP_S = 10.0
"""Length of clips of machine types whose challenge has no other."""
SUPPLEMENTAL_SHARE = 10
"""A machine has one supplemental clip for this many training clips."""
FAULT_LEVELS_DB = (-26.0, -6.0)
"""Range of fault levels relative to the machine, from barely audible to obvious."""
MIN_CLIPS = 4


@dataclass(frozen=True, slots=True)
class ChallengeSetSettings:
    """Size, layout and difficulty of the dataset."""

    year: int
    sets: tuple[SetName, ...] = ("dev",)
    machines: tuple[str, ...] = ()
    """Official names; empty = every machine of the sets."""
    clips: int = 30
    """Training clips per machine id (2020) or section."""
    test_clips: int | None = None
    """Number of normal and of anomalous test clips, each, per id, or per section and domain;
    None = a third of ``clips``."""
    seed: int = 1
    clip_s: float | None = None
    """Length of the clips; None: that of the machine type in the challenge."""
    snr_db: float = 6.0

    @property
    def challenge(self) -> Challenge:
        """Challenge whose layout the dataset has."""
        return CHALLENGES[self.year]


def make_challenge_set(
    out: Path,
    settings: ChallengeSetSettings,
    progress: Progress,
    *,
    force: bool = False,
    workers: int | None = None,
) -> int:
    """Write the dataset to ``out`` and return its number of clips.

    Raises
    ------
    ConfigError
        If a setting is out of range, a machine is unknown, or ``out`` is not empty.
    DatasetError
        If ``out`` cannot be written.
    """
    plans, files = plan_challenge_set(settings)
    claim_folder(out, force=force, needed_bytes=sum(map(_size_bytes, plans)))
    files["faults.csv"] = "path,kind,level_db\n" + "".join(
        f"{plan.path},{plan.kind},{plan.level_db:.1f}\n" for plan in plans if plan.kind
    )
    contents = {Path(path).parts[0] for path in [*files, *(plan.path for plan in plans)]}
    parameters = {
        "year": settings.year,
        "sets": list(settings.sets),
        "machines": sorted({plan.machine for plan in plans}),
        "clips": settings.clips,
        "test_clips": _test_clips(settings),
        "seed": settings.seed,
        "clip_s": settings.clip_s,
        "snr_db": settings.snr_db,
    }
    write_manifest(out, parameters, contents, complete=False, clips=len(plans))
    run_jobs(partial(_write_clip, out), plans, progress, workers)
    for path, text in files.items():
        write_text(out / path, text)
    write_manifest(out, parameters, contents, complete=True, clips=len(plans))
    return len(plans)


def _size_bytes(plan: ClipPlan) -> int:
    return 2 * plan.channels * plan.n_samples + 44


def _write_clip(out: Path, plan: ClipPlan) -> None:
    write_wav(out / plan.path, render(plan), SAMPLE_RATE_HZ)


def plan_challenge_set(settings: ChallengeSetSettings) -> tuple[list[ClipPlan], dict[str, str]]:
    """Return the plan of every clip, and path -> content of the label and attribute lists."""
    _check(settings)
    plans: list[ClipPlan] = []
    named: list[NamedClip] = []
    for subset in settings.sets:
        for machine, sections in settings.challenge.sets[subset].items():
            if settings.machines and machine not in settings.machines:
                continue
            for section in sections:
                number = int(section[-2:])
                for plan, name in _plan_section(settings, subset, machine, number):
                    plans.append(plan)
                    named.append(name)
                if settings.challenge.supplemental:
                    plans += _plan_supplemental(settings, subset, machine, number)
    return plans, label_files(settings.challenge, named)


def _check(settings: ChallengeSetSettings) -> None:
    if settings.year not in CHALLENGES:
        msg = f"--year: expected one of {', '.join(map(str, CHALLENGES))}, got {settings.year}"
        raise ConfigError(msg)
    known = [name for subset in settings.sets for name in settings.challenge.sets[subset]]
    unknown = [name for name in settings.machines if name not in known]
    if unknown:
        sets = " and ".join(settings.sets)
        msg = (
            f"--machines: {', '.join(unknown)}: not among the machines of {settings.year} "
            f"({sets}), which are {', '.join(dict.fromkeys(known))}"
        )
        raise ConfigError(msg)
    for option, value, minimum, maximum in (
        ("--clips", settings.clips, MIN_CLIPS, 9999),
        ("--test-clips", _test_clips(settings), 1, 9999),
        ("--seed", settings.seed, 0, 2**32 - 1),
        ("--clip-s", settings.clip_s or CLIP_S, 1.0, 60.0),
        ("--snr-db", settings.snr_db, -40.0, 60.0),
    ):
        if not minimum <= value <= maximum:
            msg = f"{option}: expected {minimum} to {maximum}, got {value}"
            raise ConfigError(msg)


def _test_clips(settings: ChallengeSetSettings) -> int:
    return settings.clips // 3 if settings.test_clips is None else settings.test_clips


def _clip_s(settings: ChallengeSetSettings, machine: str) -> float:
    return settings.clip_s or settings.challenge.clip_s.get(machine, CLIP_S)


def _target_clips(settings: ChallengeSetSettings) -> int:
    """Return the number of training clips in the target domain of a section.

    Their fraction is that of the challenge (3 of 1003 in 2021, 10 of 1000 later), but at least
    3 clips and at most a quarter.
    """
    per_thousand = settings.challenge.training_clips["target"]
    return min(max(3, round(per_thousand * settings.clips / 1000)), settings.clips // 4)


@dataclass(frozen=True, slots=True)
class _Group:
    """Clips of one section with the same domain, split and label."""

    subset: SetName
    machine: str
    section: int
    domain: str
    split: str
    label: int
    count: int
    first: int = 0
    """Number of its first clip in file names."""


def _plan_groups(
    settings: ChallengeSetSettings, subset: SetName, machine: str, section: int
) -> Iterator[_Group]:
    tests = _test_clips(settings)
    training = {"": settings.clips}
    if settings.challenge.domains:
        target = _target_clips(settings)
        training = {"source": settings.clips - target, "target": target}
    numbers = settings.challenge.numbers_of(machine)
    next_train, next_test = numbers.first_train, numbers.first_test
    for domain, train in training.items():
        yield _Group(subset, machine, section, domain, "train", 0, train, next_train)
        next_train += train if numbers.one_train_series else 0
        for label in (0, 1):
            yield _Group(subset, machine, section, domain, "test", label, tests, next_test)
            next_test += tests if numbers.one_test_series else 0


def _plan_supplemental(
    settings: ChallengeSetSettings, subset: SetName, machine: str, section: int
) -> Iterator[ClipPlan]:
    """Yield clips of the machine without noise, or for every other machine of noise alone."""
    challenge = settings.challenge
    content: SupplementalContent = "noise" if challenge.machines.index(machine) % 2 else "machine"
    rng = np.random.default_rng((settings.seed, derive_seed(settings.year, machine, content)))
    group = _Group(subset, machine, section, "source", "train", 0, 0)
    for index in range(max(1, settings.clips // SUPPLEMENTAL_SHARE)):
        plan, named = _plan_clip(settings, group, index, rng)
        name = supplemental_file_name(
            challenge, machine, section, content, index, named.attributes.text
        )
        yield replace(
            plan,
            path=f"{clip_folder(challenge, subset, machine, '', challenge.supplemental)}/{name}",
            content=content,
            seed=(*plan.seed, derive_seed(content)),
        )


def _plan_section(
    settings: ChallengeSetSettings, subset: SetName, machine: str, section: int
) -> Iterator[tuple[ClipPlan, NamedClip]]:
    """Yield all clips of one section; test clips of an evaluation set have anonymous names."""
    rng = np.random.default_rng((settings.seed, derive_seed(settings.year, machine, section)))
    anonymous: list[tuple[ClipPlan, NamedClip]] = []
    for group in _plan_groups(settings, subset, machine, section):
        clips = [_plan_clip(settings, group, index, rng) for index in range(group.count)]
        if subset == "eval" and group.split == "test":
            anonymous += clips
        else:
            yield from clips
    if not settings.challenge.domain_folders:
        yield from _anonymize(settings.challenge, anonymous, rng)
    else:
        for _, same_domain in groupby(anonymous, key=lambda pair: pair[1].domain):
            yield from _anonymize(settings.challenge, list(same_domain), rng)


def _anonymize(
    challenge: Challenge, clips: Sequence[tuple[ClipPlan, NamedClip]], rng: np.random.Generator
) -> Iterator[tuple[ClipPlan, NamedClip]]:
    """Shuffle test clips and give them the anonymous names of an evaluation set."""
    for index, original_index in enumerate(rng.permutation(len(clips))):
        plan, named = clips[original_index]
        number = index + challenge.numbers_of(named.machine).first_test
        name = anonymous_file_name(challenge, named.section, named.domain, number)
        path = f"{plan.path.rpartition('/')[0]}/{name}"
        yield replace(plan, path=path), replace(named, name=name, original=named.name)


def _plan_clip(
    settings: ChallengeSetSettings, group: _Group, index: int, rng: np.random.Generator
) -> tuple[ClipPlan, NamedClip]:
    year, machine, section = settings.year, group.machine, group.section
    domain, split, label = group.domain, group.split, group.label
    occurring = attributes_of(settings.challenge, machine, section, domain)
    attributes = occurring[int(rng.integers(len(occurring)))]
    hides = machine in settings.challenge.hidden_attributes
    is_anonymous = group.subset == "eval" and split == "test"
    name = labelled_file_name(
        settings.challenge,
        section,
        domain,
        split,
        label,
        group.first + index,
        HIDDEN if hides and not is_anonymous else attributes.text,
    )
    kinds = MACHINE_FAULTS[machine]
    identity = derive_seed(year, machine, section, domain, split, label, index)
    plan = ClipPlan(
        path=f"{clip_folder(settings.challenge, group.subset, machine, domain, split)}/{name}",
        machine=machine,
        conditions=conditions_of(
            settings.seed, settings.challenge, machine, section, domain, attributes
        ),
        kind=kinds[index % len(kinds)] if label else "",
        level_db=float(rng.uniform(*FAULT_LEVELS_DB)),
        snr_db=settings.snr_db,
        seed=(settings.seed, identity),
        n_samples=round(_clip_s(settings, machine) * SAMPLE_RATE_HZ),
        channels=settings.challenge.channels,
    )
    named = NamedClip(
        machine, section, domain, label, attributes, name, "", split, group.subset, hides
    )
    return plan, named
