"""Options that several commands share, and how they become settings."""

from pathlib import Path
from typing import Annotated, Any

import typer

from asd_monitor.errors import ConfigError

Mics = Annotated[
    list[str] | None,
    typer.Option(
        "--mic",
        help="Microphone: its index, its name or a part of it, or its stable id "
        "(see `asd-monitor devices`). Repeat it, each with a --machine.",
    ),
]
Machines = Annotated[
    list[str] | None,
    typer.Option("--machine", help="Name of the machine that the microphone listens to."),
]
Wavs = Annotated[
    list[str] | None,
    typer.Option("--wav", help="Recordings in place of a microphone: a file or a folder."),
]
Fast = Annotated[
    bool, typer.Option("--fast", help="Read recordings as fast as possible, not in real time.")
]
Channel = Annotated[
    int, typer.Option("--channel", min=0, help="Which channel to listen to, from 0.")
]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Where models and recordings are kept."),
]
Device = Annotated[str, typer.Option("--device", help="Where the model runs: auto, cpu or cuda.")]
OnlyMachines = Annotated[
    list[str] | None,
    typer.Option("--machine", help="Only these machines: repeat it, or give commas."),
]
Year = Annotated[
    int | None, typer.Option("--year", help="Year of the challenge, where it cannot be told.")
]
GroundTruth = Annotated[
    Path | None,
    typer.Option("--ground-truth", help="The organisers' evaluator: labels of an evaluation set."),
]
Cache = Annotated[Path | None, typer.Option("--cache", help="Where computed features are kept.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def names(given: list[str] | None) -> tuple[str, ...]:
    """Return the names of an option that is repeated, has commas, or both."""
    return tuple(name.strip() for text in given or () for name in text.split(",") if name.strip())


def host_and_port(option: str, default: int) -> tuple[str, int]:
    """Take an --mqtt option apart: HOST, HOST:PORT, [IPV6]:PORT or an IPv6 address alone.

    Raises
    ------
    ConfigError
        If the port is no number.
    """
    if option.count(":") > 1 and not option.startswith("["):
        return option, default
    host, _, port = option.partition("]:" if option.startswith("[") else ":")
    if port and not port.isdecimal():
        raise ConfigError(f"--mqtt: expected a port number, found {option!r}")
    return host.strip("[]"), int(port or default)


def machine_sections(
    mics: list[str] | None,
    wavs: list[str] | None,
    machines: list[str] | None,
    *,
    channel: int,
    fast: bool,
) -> dict[str, dict[str, Any]]:
    """Pair microphones or recordings with machines, in the order given.

    Raises
    ------
    ConfigError
        If they do not pair up.
    """
    if mics and wavs:
        raise ConfigError("--mic and --wav are both given; give one, or a --config file")
    sources = mics or wavs or []
    named = machines or []
    if not sources:
        raise ConfigError(
            "nothing to listen to: give --mic and --machine, --wav and --machine, or --config; "
            "`asd-monitor devices` lists the microphones"
        )
    if len(sources) != len(named):
        kind = "--mic" if mics else "--wav"
        msg = (
            f"expected one --machine for each {kind}, found {len(sources)} {kind} and "
            f"{len(named)} --machine"
        )
        raise ConfigError(msg)
    if len(set(named)) < len(named):
        raise ConfigError("a --machine is given twice; each machine has one source")
    kind = "mic" if mics else "wav"
    return {
        name: {kind: _source_section(kind, source, channel, fast)}
        for name, source in zip(named, sources, strict=True)
    }


def _source_section(kind: str, source: str, channel: int, fast: bool) -> dict[str, Any]:
    if kind == "wav":
        return {"paths": [source], "channel": channel, "paced": not fast}
    device: int | str = int(source) if source.isdecimal() else source
    return {"device": device, "channel": channel}
