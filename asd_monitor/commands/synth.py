"""``asd-monitor synth``: generate datasets of machine sound."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, Sets, refuse_given, split_names
from asd_monitor.errors import ConfigError
from asd_monitor.terminal.escape import on_one_line
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_monitor.progress import Progress
    from asd_offline.synth.challenge_set import ChallengeSetSettings
    from asd_offline.synth.fault_injection import InjectionSettings

CLIPS_ONLY = ("year", "sets", "clips", "test_clips", "clip_s")
"""Parameters of simulated clips."""
INJECT_ONLY = ("train_clips", "shaft_hz")
"""Parameters that have no effect without --inject."""
TIMELINE_ONLY = ("hours", "train_minutes", "fault_s", "onsets", "splits")
"""Parameters that have no effect without --timeline."""


def synth(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write to; it must be new or empty.")
    ],
    year: Annotated[
        int,
        typer.Option("--year", metavar="YEAR", help="Year of DCASE Task 2 whose layout is used."),
    ] = 2020,
    sets: Annotated[Sets, typer.Option("--set", help="Sets to generate.")] = Sets.DEV,
    machines: Annotated[
        str,
        typer.Option(
            "--machines",
            metavar="NAMES",
            help="Official machine types, separated by commas. By default all, with `--timeline` "
            "pump. With `--inject`: the machine's name.",
            show_default=False,
        ),
    ] = "",
    clips: Annotated[
        int,
        typer.Option(
            "--clips", metavar="N", help="Number of training clips per machine id or section."
        ),
    ] = 30,
    test_clips: Annotated[
        int | None,
        typer.Option(
            "--test-clips",
            metavar="N",
            help="Number of normal and of anomalous test clips, each, per id, or per section and "
            "domain. By default a third of `--clips`.",
        ),
    ] = None,
    clip_s: Annotated[
        float | None,
        typer.Option(
            "--clip-s",
            metavar="SECONDS",
            help="Length of a clip in seconds. By default that of the year's machine type, which "
            "is mostly 10.",
            show_default=False,
        ),
    ] = None,
    snr_db: Annotated[
        float,
        typer.Option(
            "--snr-db", metavar="DB", help="Level of the machine relative to factory noise, in dB."
        ),
    ] = 6.0,
    inject: Annotated[
        Path | None,
        typer.Option(
            "--inject",
            metavar="FOLDER",
            help="Add simulated faults to the real normal recordings of one machine in this "
            "folder, instead of simulating machines.",
        ),
    ] = None,
    kinds: Annotated[
        str,
        typer.Option(
            "--kinds",
            metavar="NAMES",
            help="With `--inject` or `--timeline`: kinds of faults, separated by commas. By "
            "default all.",
            show_default=False,
        ),
    ] = "",
    levels: Annotated[
        str,
        typer.Option(
            "--levels",
            metavar="DB",
            help="With `--inject` or `--timeline`: levels of the fault relative to the machine, "
            "in dB, separated by commas.",
        ),
    ] = "0,-6,-12,-18",
    train_clips: Annotated[
        int | None,
        typer.Option(
            "--train-clips",
            metavar="N",
            help="With `--inject`: number of recordings for training. By default two thirds.",
        ),
    ] = None,
    shaft_hz: Annotated[
        float | None,
        typer.Option(
            "--shaft-hz",
            metavar="HZ",
            help="With `--inject`: revolutions or strokes per second, if known.",
        ),
    ] = None,
    timeline: Annotated[
        bool,
        typer.Option(
            "--timeline",
            help="Make hours of sound with labelled faults, for `replay --timeline`: of simulated "
            "machines, or with `--inject` of recordings in random order.",
        ),
    ] = False,
    hours: Annotated[
        float,
        typer.Option(
            "--hours", metavar="H", help="With `--timeline`: hours of normal sound per machine."
        ),
    ] = 4.0,
    train_minutes: Annotated[
        float,
        typer.Option(
            "--train-minutes",
            metavar="MINUTES",
            help="With `--timeline`: minutes of normal sound of a simulated machine to learn from.",
        ),
    ] = 20.0,
    fault_s: Annotated[
        float,
        typer.Option(
            "--fault-s", metavar="SECONDS", help="With `--timeline`: duration of a fault."
        ),
    ] = 300.0,
    onsets: Annotated[
        str,
        typer.Option(
            "--onsets",
            metavar="NAMES",
            help="With `--timeline`: how faults begin, of sudden, growing and intermittent, "
            "separated by commas.",
        ),
    ] = "sudden,growing,intermittent",
    splits: Annotated[
        int,
        typer.Option(
            "--splits",
            metavar="N",
            help="With `--timeline --inject`: random divisions into training and test "
            "recordings, with the seeds from `--seed` on.",
        ),
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", help="Seed of all random numbers: same seed, same bytes."
        ),
    ] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a dataset that synth wrote there before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Generate a small labelled dataset: simulated machines, or faults in real recordings.

    Example: `asd-monitor synth data/synth --year 2023 --machines fan,ToyCar --clips 60`, or
    `asd-monitor synth data/mine --inject recordings/pump`, then `asd-monitor replay data/mine`;
    `asd-monitor synth --timeline data/day`, then `asd-monitor replay data/day --timeline`
    """
    is_injection = inject is not None
    if timeline:
        unused = (*CLIPS_ONLY, *(("snr_db", "train_minutes") if is_injection else ()))
        refuse_given(context, unused, "has no effect with these options")
        refuse_given(context, () if is_injection else (*INJECT_ONLY, "splits"), "needs --inject")
        from asd_monitor.commands.synth_timeline import synth_timeline

        synth_timeline(
            out,
            inject=inject,
            machines=(_parse_single_name(machines),) if is_injection else split_names([machines]),
            kinds=kinds,
            levels_db=_parse_levels(levels),
            onsets=onsets,
            hours=hours,
            fault_s=fault_s,
            train_minutes=train_minutes,
            snr_db=snr_db,
            train_clips=train_clips,
            splits=splits,
            shaft_hz=shaft_hz,
            seed=seed,
            force=force,
            as_json=as_json,
        )
        return
    refuse_given(context, TIMELINE_ONLY, "needs --timeline")
    if is_injection:
        refuse_given(context, (*CLIPS_ONLY, "snr_db"), "has no effect with --inject")
    else:
        refuse_given(context, (*INJECT_ONLY, "kinds", "levels"), "needs --inject")
    with console_progress() as progress:
        if inject is None:
            from asd_offline.synth.challenge_set import ChallengeSetSettings

            names, set_names = split_names([machines]), sets.names()
            settings = ChallengeSetSettings(
                year, set_names, names, clips, test_clips, seed, clip_s, snr_db
            )
            result = _make_challenge_set(out, settings, progress, force=force)
        else:
            from asd_monitor.synthesis.faults import FAULTS
            from asd_offline.synth.fault_injection import InjectionSettings

            injection = InjectionSettings(
                inject,
                split_names([kinds]) or tuple(FAULTS),
                _parse_levels(levels),
                train_clips,
                seed,
                _parse_single_name(machines),
                shaft_hz,
            )
            result = _make_injected_set(out, injection, progress, force=force)
    typer.echo(json.dumps(result) if as_json else _format(result))


def _parse_single_name(text: str) -> str:
    names = split_names([text])
    if len(names) > 1:
        msg = f"--machines: expected one name with --inject, got {', '.join(names)}"
        raise ConfigError(msg)
    return names[0] if names else ""


def _parse_levels(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in split_names([text]))
    except ValueError as error:
        msg = f"--levels: expected dB separated by commas, such as 0,-6,-12, got {text!r}"
        raise ConfigError(msg) from error


def _make_challenge_set(
    out: Path, settings: "ChallengeSetSettings", progress: "Progress", *, force: bool
) -> dict[str, Any]:
    from asd_offline.synth.challenge_set import make_challenge_set

    count = make_challenge_set(out, settings, progress, force=force)
    truth = out / "ground_truth"
    return {
        "out": str(out),
        "year": settings.year,
        "clips": count,
        "ground_truth": str(truth) if truth.is_dir() else None,
    }


def _make_injected_set(
    out: Path, settings: "InjectionSettings", progress: "Progress", *, force: bool
) -> dict[str, Any]:
    from asd_offline.synth.fault_injection import make_injected_set

    made = make_injected_set(out, settings, progress, force=force)
    for path, reason in made.rejected:
        typer.echo(on_one_line(f"not used: {path}: {reason}"), err=True)
    return {
        "out": str(out),
        "train_clips": made.train_clips,
        "test_normals": made.test_normals,
        "test_anomalies": made.test_anomalies,
        "gain_db": made.gain_db,
        "rejected": [{"path": path, "reason": reason} for path, reason in made.rejected],
    }


def _format(result: dict[str, Any]) -> str:
    out = result["out"]
    if "year" in result:
        truth = result["ground_truth"]
        option = f" --ground-truth {truth}" if truth else ""
        text = f"{out}: {result['clips']} clips in the layout of {result['year']}"
        return f"{text}; next: asd-monitor replay {out}{option}"
    text = (
        f"{out}: {result['train_clips']} training clips, {result['test_normals']} normal and "
        f"{result['test_anomalies']} faulty test clips, listed in faults.csv"
    )
    if result["gain_db"]:
        text += f"; all clips attenuated by {-result['gain_db']:.1f} dB to avoid clipping"
    return f"{text}; next: asd-monitor replay {out}"
