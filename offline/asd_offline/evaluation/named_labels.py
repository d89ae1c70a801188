"""Labels of development-set clips, which their file names show."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.ground_truth import ClipTruth, GroundTruth, SectionTruth
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.evaluation.rules import scoring_rules
from asd_offline.evaluation.submission_files import KINDS, parse_file_name
from asd_offline.evaluation.submission_rows import clip_names


def with_named_sections(truth: GroundTruth, folder: Path) -> GroundTruth:
    """Add the sections of a system's score files whose clips have labels in their names.

    Which clips such a section has is known from the files alone, so a clip that is missing in them
    is not noticed. If there are no scores of any section of the ground truth, only the added
    sections are returned.
    """
    rules = scoring_rules(truth.year)
    machines = {machine: dict(sections) for machine, sections in truth.machines.items()}
    added: dict[str, dict[str, dict[str, ClipTruth]]] = {}
    is_in_truth = False
    for path in sorted(path for kind in KINDS for path in folder.glob(f"{kind}*.csv")):
        key = parse_file_name(path.name, rules)
        if key is None:
            continue
        if key.section in machines.get(key.machine, {}):
            is_in_truth = True
            continue
        clips = _labelled_clips(truth.year, key.section, key.domain, clip_names(path))
        added.setdefault(key.machine, {}).setdefault(key.section, {}).update(clips or {})
    result = machines if is_in_truth or not added else {}
    for machine, sections in added.items():
        for section, clips in sections.items():
            if clips:
                result.setdefault(machine, {})[section] = SectionTruth(clips)
    return replace(truth, machines=result or machines)


def _labelled_clips(
    year: int, section: str, domain: str, names: Iterable[str]
) -> Mapping[str, ClipTruth] | None:
    """Return the clips' labels and domains; None if a name lacks them or is of another section."""
    clips: dict[str, ClipTruth] = {}
    for name in names:
        try:
            parsed = CHALLENGES[year].parse(f"{domain}_test" if domain else "test", name)
        except UnrecognisedFileName:
            return None
        if parsed.label is None or parsed.section != section:
            return None
        clips[name] = ClipTruth(parsed.label, parsed.domain)
    return clips
