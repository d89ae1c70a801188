"""Options that several commands share, and their conversion to settings."""

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.errors import ConfigError
from asd_monitor.settings_file import mask_credentials
from asd_monitor.terminal.escape import on_one_line
from asd_monitor.unicode_names import derive_id, to_nfc

if TYPE_CHECKING:
    from asd_offline.datasets.challenge import SetName


MQTT_PORT = 1883


def _in_nfc(value: str | None) -> str | None:
    return None if value is None else to_nfc(value)


def _check_keys(values: list[str] | None) -> list[str] | None:
    """Check public keys; only of a command that gets some, since that imports pydantic."""
    if values:
        from asd_monitor.model_file.keys import check_key

        for value in values:
            try:
                check_key(value)
            except ValueError as error:
                raise ConfigError(f"--trusted-key {value}: {error}") from error
    return values


class Device(StrEnum):
    """Where a model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class RuntimeChoice(StrEnum):
    """What runs a model."""

    AUTO = "auto"
    TORCHSCRIPT = "torchscript"
    ONNX = "onnx"


class Sets(StrEnum):
    """The sets of a challenge."""

    DEV = "dev"
    EVAL = "eval"
    BOTH = "both"

    def names(self) -> "tuple[SetName, ...]":
        """Return the names of the chosen sets."""
        if self is Sets.BOTH:
            return ("dev", "eval")
        return ("dev",) if self is Sets.DEV else ("eval",)


Mics = Annotated[
    list[str] | None,
    typer.Option(
        "--mic",
        metavar="MIC",
        help="Microphone to monitor: its stable id (see `asd-monitor devices`), its name or a part "
        "of it, or its index, which changes. Repeatable, each with a `--machine`.",
    ),
]
Machines = Annotated[
    list[str] | None,
    typer.Option(
        "--machine",
        metavar="NAME",
        help="Name of the machine that the microphone or the recordings belong to; folders, topics "
        "and labels use an id derived from it. Repeatable: the first name belongs to the first "
        "source, and so on.",
    ),
]
Wavs = Annotated[
    list[str] | None,
    typer.Option(
        "--wav",
        metavar="PATH",
        help="Recordings to use instead of a microphone: a file or a folder. Repeatable, each "
        "with a `--machine`.",
    ),
]
AcceptMicrophone = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-microphone",
        metavar="ID",
        help="Stable id of a microphone to use although the machine was learned with another one. "
        "Repeatable.",
    ),
]
Fast = Annotated[
    bool,
    typer.Option("--fast", help="Read recordings as fast as possible instead of in real time."),
]
Channel = Annotated[
    int,
    typer.Option(
        "--channel", metavar="N", min=0, help="Channel of the audio to use; the first is 0."
    ),
]


SampleRate = Annotated[
    str | None,
    typer.Option(
        "--sample-rate-hz",
        metavar="HZ",
        help="Sample rate to learn at, such as 48000, or `auto`: 48 or 96 kHz if the machine "
        "has sound above 8 kHz. By default 16000. A model keeps its rate.",
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="FOLDER",
        help="Folder for models and recordings. By default `$STATE_DIRECTORY`, or "
        "`~/.local/state/asd-monitor`.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device", help="Device that the model runs on; auto uses a GPU if there is one."
    ),
]
RuntimeOption = Annotated[
    RuntimeChoice,
    typer.Option(
        "--runtime",
        help="What runs the model: torch, or onnxruntime on the CPU; auto uses torch if it is "
        "installed.",
    ),
]
ModelFile = Annotated[Path, typer.Option("--model", metavar="FILE", help="The model file.")]
TrustedKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-key",
        metavar="KEY",
        callback=_check_keys,
        help="Load the model file only if it is signed with this public key, or was learned here. "
        "Repeat it for several keys. By default every file whose code passes the checks is loaded.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME",
        callback=_in_nfc,
        help="Target of the model file to score for; needed if it has several.",
    ),
]
Plain = Annotated[bool, typer.Option("--plain", help="Print lines instead of a live view.")]
OnlyMachines = Annotated[
    list[str] | None,
    typer.Option(
        "--machine",
        metavar="NAME",
        help="Use only this machine. Repeatable, or several separated by commas.",
    ),
]
Year = Annotated[
    int | None,
    typer.Option(
        "--year",
        metavar="YEAR",
        help="Year of the challenge whose layout the dataset has. By default detected.",
    ),
]
GroundTruth = Annotated[
    Path | None,
    typer.Option(
        "--ground-truth",
        metavar="FOLDER",
        help="The organisers' evaluator repository, which has the labels of the evaluation set.",
    ),
]
MovedDataset = Annotated[
    Path | None,
    typer.Option(
        "--dataset",
        metavar="DATASET",
        help="Where the dataset is now, if it was moved after training.",
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        help="Folder for computed features. By default in `$XDG_CACHE_HOME` or `~/.cache`.",
    ),
]
Cluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Run the jobs on a Ray cluster: `auto` or HOST:PORT. Its computers share the folders "
        "of data and results; see docs/clusters.md.",
        show_default=False,
    ),
]
ShardText = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Run only part I of N, for a job array of Slurm. When all parts are finished, run the "
        "command without it for the result.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


NOTHING_TO_MONITOR = (
    "nothing to monitor: give --mic and --machine, --wav and --machine, or --config; "
    "`asd-monitor devices` lists the microphones"
)


def split_names(values: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of an option that is repeated, contains commas, or both."""
    names = (name.strip() for value in values or () for name in to_nfc(value).split(","))
    return tuple(name for name in names if name)


def default_cache() -> Path:
    """Return the user's folder for computed features, as the XDG specification defines it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "asd-monitor" / "features"


def parse_host_and_port(value: str, default_port: int = MQTT_PORT) -> tuple[str, int]:
    """Parse an --mqtt option: HOST, HOST:PORT, [IPV6]:PORT or an IPv6 address alone.

    Raises
    ------
    ConfigError
        If the port is not a number.
    """
    if value.count(":") > 1 and not value.startswith("["):
        return value, default_port
    host, _, port = value.partition("]:" if value.startswith("[") else ":")
    if port and not port.isdecimal():
        found = mask_credentials(value)
        raise ConfigError(f"--mqtt: expected HOST or HOST:PORT with a port number, found {found!r}")
    return host.strip("[]"), int(port or default_port)


def make_machine_sections(
    mics: Sequence[str] | None,
    wavs: Sequence[str] | None,
    machines: Sequence[str] | None,
    *,
    channel: int,
    fast: bool,
) -> dict[str, dict[str, Any]]:
    """Pair microphones or recordings with machines, in the order given.

    A machine's id is derived from its name, which is kept as its display name if it differs.

    Returns
    -------
    The section of each machine by its id, as in a configuration file.

    Raises
    ------
    ConfigError
        If there is not exactly one machine for each source.
    """
    if mics and wavs:
        raise ConfigError("--mic and --wav are both given; give one, or a --config file")
    sources = mics or wavs or []
    names = machines or []
    if not sources:
        raise ConfigError(NOTHING_TO_MONITOR)
    kind = "mic" if mics else "wav"
    if len(sources) != len(names):
        msg = (
            f"expected one --machine for each --{kind}, found {len(sources)} --{kind} and "
            f"{len(names)} --machine"
        )
        raise ConfigError(msg)
    if not all(name.strip() for name in names):
        raise ConfigError("--machine: expected the name of a machine, found an empty one")
    names = [to_nfc(name).strip() for name in names]
    ids = {name: derive_id(name) for name in names}
    if len(set(ids.values())) < len(names):
        listed = ", ".join(f"{name!r} (id {ids[name]})" for name in names)
        raise ConfigError(f"expected different machines, one for each source, found: {listed}")
    sections: dict[str, dict[str, Any]] = {}
    for (name, id_), source in zip(ids.items(), sources, strict=True):
        sections[id_] = {kind: _make_source_section(kind, source, channel, fast)}
        if id_ != name:
            sections[id_]["name"] = name
            text = f"{on_one_line(name)}: its id in folders, topics and labels is {id_}"
            typer.echo(text, err=True)
    return sections


def _make_source_section(kind: str, source: str, channel: int, fast: bool) -> dict[str, Any]:
    if kind == "wav":
        return {"paths": [source], "channel": channel, "paced": not fast}
    device: int | str = int(source) if source.isdecimal() else source
    return {"device": device, "channel": channel}


def refuse_cluster_with(context: typer.Context, cluster: str, shard: str) -> None:
    """Raise ConfigError if ``--cluster`` is given with an option that it makes meaningless."""
    if cluster:
        refuse_given(context, ("jobs",), "has no effect with --cluster, which uses all its cores")
        if shard:
            raise ConfigError("--shard: has no effect with --cluster; give one of the two")


def refuse_given(context: typer.Context, names: Sequence[str], reason: str) -> None:
    """Raise ConfigError for the first of some parameters that was given on the command line.

    Parameters
    ----------
    context
        Of the command.
    names
        Parameters, as the function of the command names them.
    reason
        Why they must not be given, such as ``has no effect with --inject``.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        options = [parameter.opts for parameter in context.command.params if parameter.name == name]
        option = options[0][0] if options else name
        raise ConfigError(f"{option}: {reason}; see asd-monitor {context.info_name} --help")
