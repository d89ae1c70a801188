"""Command line of the benchmark; prints tables in Markdown."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from asd_monitor.synthesis.faults import FAULTS
from asd_offline.benchmarks.timelines import (
    changes,
    detectability,
    paths,
    pump,
    ranking,
    recordings,
    speeds,
    thresholds,
    weeks,
)
from asd_offline.benchmarks.timelines.tables import (
    FAULT_COLUMNS,
    NORMAL_COLUMNS,
    fault_cells,
    grouped_rows,
    heading,
    normal_cells,
    row,
)
from asd_offline.timeline.outcome import FaultOutcome, StreamOutcome

FAULTS_AND_DELAY = (*FAULT_COLUMNS, "median delay")
DEFAULT_SEED = 100
"""Seeds below 100 were used for development."""


def main() -> None:
    """Measure and print."""
    options = _parse_arguments()
    torch.set_num_threads(1)
    if options.kind == "recordings":
        _measure_recordings(options)
    elif options.kind == "detectability":
        _measure_detectability(options)
    elif options.kind == "pump":
        _measure_pump(options)
    elif options.kind == "ranking":
        _measure_ranking(options)
    elif options.kind == "changes":
        _measure_changes(options)
    elif options.kind == "paths":
        _measure_paths(options)
    elif options.kind == "thresholds":
        _measure_thresholds(options)
    else:
        _measure_weeks(options)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the live alarm on timelines.")
    kinds = parser.add_subparsers(dest="kind", required=True)
    real = kinds.add_parser("recordings", help="real recordings of one machine")
    real.add_argument("--normal-h", type=float, default=4.0, help="over all splits")
    real.add_argument("--no-injection", action="store_true", help="recorded faults only")
    predicted = kinds.add_parser("detectability", help="predicted against actual detection")
    simulated = kinds.add_parser("pump", help="the demo's simulated pump")
    simulated.add_argument("--learn-s", type=int, default=300)
    simulated.add_argument("--hours", type=float, default=1.0, help="of normal sound, per pump")
    simulated.add_argument("--pumps", type=int, default=5)
    simulated.add_argument(
        "--speed",
        type=float,
        metavar="PERCENT",
        help="changes of speed up to this, before and after",
    )
    simulated.add_argument("--drift", action="store_true", help="slow drift instead of faults")
    changed = kinds.add_parser("changes", help="changes of real recordings that are no faults")
    ranked = kinds.add_parser("ranking", help="AUC of the score and of its voices")
    compared = kinds.add_parser("paths", help="recordings against a microphone at 48 kHz")
    exceeded = kinds.add_parser("thresholds", help="how often unseen normal sound exceeds them")
    on_recordings = (real, predicted, changed, ranked, compared, exceeded)
    for kind in on_recordings:
        kind.add_argument("folder", type=Path)
        kind.add_argument("--pattern", default="*", help="names of the recordings, without suffix")
        kind.add_argument("--learn-clips", type=int, default=30)
        kind.add_argument("--splits", type=int, default=10)
    weeks.add_arguments(kinds)
    for kind in (*on_recordings, simulated):
        kind.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the first split")
    return parser.parse_args()


def _measure_recordings(options: argparse.Namespace) -> None:
    settings = recordings.RecordingsSettings(
        options.folder,
        options.pattern,
        options.learn_clips,
        options.splits,
        options.seed,
        options.normal_h,
        kinds=() if options.no_injection else tuple(FAULTS),
    )
    clips = recordings.read_clips(settings.folder, settings.pattern)
    splits: list[recordings.SplitOutcome] = []
    print(heading("seed", *NORMAL_COLUMNS, "injected faults", *FAULTS_AND_DELAY[1:]), flush=True)
    for seed in range(settings.seed, settings.seed + settings.splits):
        split = recordings.measure_split(clips, settings, seed)
        splits.append(split)
        print(row(seed, *normal_cells(split.normal), *fault_cells(_faults(split.injected))))
    normal = [stream for split in splits for stream in split.normal]
    injected = _faults([stream for split in splits for stream in split.injected])
    print(row("all", *normal_cells(normal), *fault_cells(injected)), flush=True)
    recorded = _faults([stream for split in splits for stream in split.recorded])
    print(f"\n{heading('faults', *FAULTS_AND_DELAY)}")
    for line in _fault_rows(injected, recorded):
        print(line)


def _fault_rows(injected: list[FaultOutcome], recorded: list[FaultOutcome]) -> Iterator[str]:
    if recorded:
        yield row("recorded", *fault_cells(recorded))
    if injected:
        yield row("injected", *fault_cells(injected))
        yield from grouped_rows(injected, lambda fault: fault.span.label.split()[0])
        yield from grouped_rows(injected, lambda fault: f"{fault.span.label.split()[1]} dB")


def _faults(streams: "list[StreamOutcome] | tuple[StreamOutcome, ...]") -> list[FaultOutcome]:
    return [fault for stream in streams for fault in stream.faults]


def _measure_detectability(options: argparse.Namespace) -> None:
    clips = recordings.read_clips(options.folder, options.pattern)
    print(heading("seed", "kind", "predicted within 60 s", "within 300 s", "by trial"))
    outcomes: list[detectability.Outcome] = []
    for seed in range(options.seed, options.seed + options.splits):
        predicted, played = detectability.measure_split(clips, options.learn_clips, seed)
        outcomes += played
        for fault in predicted.faults:
            levels = (fault.detected_db(60), fault.detected_db(300), fault.lowest_db[300])
            print(row(seed, fault.kind, *levels), flush=True)
        print(row(seed, f"{predicted.cpu_s} s", predicted.alarmed_trials, predicted.problem, ""))
    offsets = (f"{offset:+g} dB" for offset in detectability.OFFSETS_DB)
    print(f"\n{heading('within', *offsets)}")
    for cells in detectability.describe_shares(outcomes):
        print(row(*cells))


def _measure_pump(options: argparse.Namespace) -> None:
    seeds = range(options.seed, options.seed + options.pumps)
    if options.speed is not None:
        _measure_speeds(options, seeds)
        return
    if options.drift:
        print(heading("drift", *(f"pump {seed}: alarm at" for seed in seeds)))
        machines = [pump.PumpMachine(seed, options.learn_s) for seed in seeds]
        for drift in pump.DRIFTS:
            sizes = [machine.find_drift(drift) for machine in machines]
            cells = ("none" if size is None else f"{size:.3g} {drift.unit}" for size in sizes)
            name = f"{drift.name}, up to {drift.step * drift.steps:g} {drift.unit}"
            print(row(name, *cells), flush=True)
        return
    streams = [
        stream
        for seed in seeds
        for stream in pump.measure_pump(seed, options.learn_s, options.hours)
    ]
    print(heading("learned", *NORMAL_COLUMNS))
    normal = [stream for stream in streams if not stream.faults]
    print(row(f"{options.learn_s} s", *normal_cells(normal)))
    print(f"\n{heading('level of the fault', *FAULTS_AND_DELAY)}")
    for line in grouped_rows(_faults(streams), lambda fault: fault.span.label):
        print(line)


def _measure_speeds(options: argparse.Namespace, seeds: range) -> None:
    print(heading("learned with changes of speed", *NORMAL_COLUMNS, *FAULTS_AND_DELAY))
    for learned in (options.speed, 0.0):
        pairs = [
            speeds.measure_speeds(seed, options.learn_s, options.speed, learned) for seed in seeds
        ]
        normal, faulty = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        name = f"up to {learned:g} %" if learned else "none"
        print(row(name, *normal_cells(normal), *fault_cells(_faults(faulty))), flush=True)


def _measure_changes(options: argparse.Namespace) -> None:
    clips = recordings.read_clips(options.folder, options.pattern)
    outcomes = [
        outcome
        for seed in range(options.seed, options.seed + options.splits)
        for outcome in changes.measure_changes(clips, options.learn_clips, seed)
    ]
    print(heading("change", *changes.COLUMNS))
    for name in changes.CHANGES:
        print(row(name, *changes.cells([o for o in outcomes if o.change == name])))


def _measure_paths(options: argparse.Namespace) -> None:
    clips = recordings.read_clips(options.folder, options.pattern)
    print(heading("seed", *paths.COLUMNS))
    for seed in range(options.seed, options.seed + options.splits):
        count, found = paths.measure_split(clips, options.learn_clips, seed)
        print(row(seed, *paths.cells(count, found)), flush=True)


def _measure_thresholds(options: argparse.Namespace) -> None:
    clips = recordings.read_clips(options.folder, options.pattern)
    print(heading("seed", *thresholds.COLUMNS))
    found: list[thresholds.Exceedances] = []
    for seed in range(options.seed, options.seed + options.splits):
        found.append(thresholds.measure_split(clips, options.learn_clips, seed))
        print(row(seed, *thresholds.cells(found[-1:])), flush=True)
    print(row("all", *thresholds.cells(found)))


def _measure_ranking(options: argparse.Namespace) -> None:
    clips = recordings.read_clips(options.folder, options.pattern)
    rankings = [
        ranking.measure_split(clips, options.learn_clips, seed)
        for seed in range(options.seed, options.seed + options.splits)
    ]
    print(heading("faults", *ranking.COLUMNS))
    for kind in rankings[0].auc:
        print(row(kind, *ranking.cells(kind, rankings)))
    means = [np.mean([split.auc[kind][0] for kind in FAULTS]) for split in rankings]
    print(row("mean of all kinds", len(rankings), f"{np.mean(means):.3f}", "", ""))


def _measure_weeks(options: argparse.Namespace) -> None:
    print(heading("voices", "learned", "asked per month", *weeks.COLUMNS))
    for cells in weeks.measure(options):
        print(row(*cells), flush=True)


if __name__ == "__main__":
    main()
