"""``asd-monitor synth``: data sets of machine sound, made up or made faulty."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson
from asd_monitor.errors import ConfigError
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_monitor.progress import Progress
    from asd_offline.datasets.challenge_sets import SetName
    from asd_offline.synth.challenge_set import YearSettings
    from asd_offline.synth.fault_injection import InjectionSettings

YEAR_ONLY = ("year", "set_", "clips", "test_clips", "clip_s", "snr_db")
INJECT_ONLY = ("kinds", "levels", "train_clips", "shaft_hz")


def synth(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="Folder to write to: new or empty.")],
    year: Annotated[
        int, typer.Option("--year", help="Official layout: 2020, 2021, 2022 or 2023.")
    ] = 2020,
    set_: Annotated[str, typer.Option("--set", help="dev, eval or both.")] = "dev",
    machines: Annotated[
        str,
        typer.Option(
            "--machines",
            help="Official names, with commas; all by default. With --inject: the machine's name.",
        ),
    ] = "",
    clips: Annotated[
        int, typer.Option("--clips", help="Training clips per machine id or section.")
    ] = 30,
    test_clips: Annotated[
        int | None,
        typer.Option(
            "--test-clips",
            help="Test clips, so many normal and so many anomalous, per id, or section and "
            "domain; a third of --clips by default.",
        ),
    ] = None,
    clip_s: Annotated[float, typer.Option("--clip-s", help="Length of a clip in s.")] = 10.0,
    snr_db: Annotated[
        float, typer.Option("--snr-db", help="Machine against factory noise, in dB.")
    ] = 6.0,
    inject: Annotated[
        Path | None,
        typer.Option(
            "--inject",
            help="Folder of real normal recordings of one machine: put faults into these.",
        ),
    ] = None,
    kinds: Annotated[
        str, typer.Option("--kinds", help="With --inject: faults, with commas; all by default.")
    ] = "",
    levels: Annotated[
        str,
        typer.Option("--levels", help="With --inject: dB of the fault against the machine."),
    ] = "0,-6,-12,-18",
    train_clips: Annotated[
        int | None,
        typer.Option(
            "--train-clips", help="With --inject: recordings for training; two thirds by default."
        ),
    ] = None,
    shaft_hz: Annotated[
        float | None,
        typer.Option("--shaft-hz", help="With --inject: turns or strokes per second, if known."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same bytes.")] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a data set that synth made there before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a small labelled data set: synthetic machines, or faults in real recordings.

    Example: `asd-monitor synth d --year 2023 --machines fan,ToyCar --clips 60`, or
    `asd-monitor synth d --inject recordings/pump/train`, then `asd-monitor replay d`.
    """
    _refuse_misplaced(context, YEAR_ONLY if inject else INJECT_ONLY, injecting=inject is not None)
    with console_progress() as progress:
        if inject is None:
            from asd_offline.synth.challenge_set import YearSettings

            year_settings = YearSettings(
                year, _sets(set_), _names(machines), clips, test_clips, seed, clip_s, snr_db
            )
            result = _year(out, year_settings, progress, force=force)
        else:
            from asd_offline.synth.fault_injection import InjectionSettings
            from asd_offline.synth.faults import FAULTS

            injection = InjectionSettings(
                inject,
                _names(kinds) or tuple(FAULTS),
                _numbers(levels),
                train_clips,
                seed,
                _one_name(machines),
                shaft_hz,
            )
            result = _injection(out, injection, progress, force=force)
    typer.echo(json.dumps(result) if as_json else _sentence(result))


def _refuse_misplaced(context: typer.Context, names: tuple[str, ...], *, injecting: bool) -> None:
    """ConfigError for an option that would do nothing."""
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.strip("_").replace("_", "-")
            where = "does nothing with --inject" if injecting else "needs --inject"
            msg = f"{option}: {where}; see asd-monitor synth --help"
            raise ConfigError(msg)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _one_name(text: str) -> str:
    names = _names(text)
    if len(names) > 1:
        msg = f"--machines: expected one name with --inject, got {', '.join(names)}"
        raise ConfigError(msg)
    return names[0] if names else ""


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in _names(text))
    except ValueError as error:
        msg = f"--levels: expected dB with commas, such as 0,-6,-12, got {text!r}"
        raise ConfigError(msg) from error


def _sets(name: str) -> "tuple[SetName, ...]":
    choices: dict[str, tuple[SetName, ...]]
    choices = {"dev": ("dev",), "eval": ("eval",), "both": ("dev", "eval")}
    if name not in choices:
        msg = f"--set: expected dev, eval or both, got {name!r}"
        raise ConfigError(msg)
    return choices[name]


def _year(
    out: Path, settings: "YearSettings", progress: "Progress", *, force: bool
) -> dict[str, Any]:
    from asd_offline.synth.challenge_set import make_year_set

    count = make_year_set(out, settings, progress, force=force)
    truth = out / "ground_truth"
    return {
        "out": str(out),
        "year": settings.year,
        "clips": count,
        "ground_truth": str(truth) if truth.is_dir() else None,
    }


def _injection(
    out: Path, settings: "InjectionSettings", progress: "Progress", *, force: bool
) -> dict[str, Any]:
    from asd_offline.synth.fault_injection import make_injected_set

    made = make_injected_set(out, settings, progress, force=force)
    for path, reason in made.rejected:
        typer.echo(f"left out {path}: {reason}", err=True)
    return {
        "out": str(out),
        "train_clips": made.train_clips,
        "test_normals": made.test_normals,
        "test_anomalies": made.test_anomalies,
        "gain_db": made.gain_db,
        "rejected": [{"path": path, "reason": reason} for path, reason in made.rejected],
    }


def _sentence(result: dict[str, Any]) -> str:
    out = result["out"]
    if "year" in result:
        truth = result["ground_truth"]
        hint = f" --ground-truth {truth}" if truth else ""
        done = f"{out}: {result['clips']} clips in the layout of {result['year']}"
        return f"{done}; now: asd-monitor replay {out}{hint}"
    done = (
        f"{out}: {result['train_clips']} training clips, {result['test_normals']} normal and "
        f"{result['test_anomalies']} faulty test clips, listed in faults.csv"
    )
    if result["gain_db"]:
        done += f"; all clips lowered by {-result['gain_db']:.1f} dB, so that none is clipped"
    return f"{done}; now: asd-monitor replay {out}"
