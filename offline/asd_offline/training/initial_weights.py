"""Initialise networks from weight files: published ones, or another run's checkpoints."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from asd_monitor.errors import ConfigError, RunError
from asd_offline.models.published_weights import PUBLISHED_WEIGHTS
from asd_offline.recipes import MultiScoreRecipe, Recipe
from asd_offline.training.checkpoints import Identity, write_checkpoint
from asd_offline.training.run_folder import Run
from asd_offline.weights.matching import MatchReport, WeightMatcher
from asd_offline.weights.reader import WeightFile, read_weights

MAX_LISTED = 8
"""Lines of a long list that are reported; ``run.json`` has all."""


@dataclass(frozen=True)
class InitialFile:
    """A weight file, for one network or for all."""

    file: WeightFile
    network: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return what a run stores of it."""
        path = str(self.file.path.resolve())
        return {"file": path, "sha256": self.file.sha256, "network": self.network}


def read_initial_files(
    arguments: Iterable[str], networks: Iterable[str]
) -> tuple[InitialFile, ...]:
    """Read files given as ``FILE``, for every network, or ``NETWORK=FILE``.

    Raises
    ------
    ConfigError
        If a file cannot be used, or there is no such network.
    """
    names, files = list(networks), []
    for argument in arguments:
        network, equals, path = argument.partition("=")
        if Path(argument).exists() or not equals:
            files.append(InitialFile(read_weights(Path(argument)), None))
            continue
        if network not in names:
            msg = f"--init-from {argument}: there is no network {network!r}; there are: "
            raise ConfigError(msg + ", ".join(names))
        files.append(InitialFile(read_weights(Path(path)), network))
    return tuple(files)


def reload_initial_files(initial: Mapping[str, Any]) -> tuple[InitialFile, ...]:
    """Read a run's initial files again, if it was stopped before they were used.

    Raises
    ------
    RunError
        If a file has changed.
    """
    files = []
    for stored in initial["files"]:
        try:
            file = read_weights(Path(stored["file"]))
        except ConfigError as error:
            raise RunError(f"{error}; the run needs its initial weights") from error
        if file.sha256 != stored["sha256"]:
            raise RunError(f"{file.path}: has changed since the run was started with it")
        files.append(InitialFile(file, stored["network"]))
    return tuple(files)


def load_initial_weights(
    run: Run,
    name: str,
    network: nn.Module,
    recipe: Recipe,
    files: Sequence[InitialFile],
) -> tuple[Run, list[str]]:
    """Load weights into a network and write them as the run's checkpoint of epoch 0.

    Parameters
    ----------
    name
        Name of the network.
    network
        Untrained.
    files
        Empty: those that the run names.

    Returns
    -------
    tuple
        The run, whose metadata now has the match report, and sentences for the user.

    Raises
    ------
    ConfigError
        If no tensor matches.
    RunError
        If the run cannot be written.
    """
    initial = run.metadata.initial
    if initial is None:
        return run, []
    usable = [
        initial_file.file
        for initial_file in files or reload_initial_files(initial)
        if initial_file.network in (None, name)
    ]
    if not usable:
        return run, [f"{name}: no weights given, so it is initialised at random"]
    matcher = WeightMatcher(network, PUBLISHED_WEIGHTS.get(run.metadata.model))
    report = matcher.load_from(usable)
    identity = Identity(name, run.metadata.seed, recipe)
    state = {"weights": network.state_dict(), **identity.to_dict()}
    write_checkpoint(run.checkpoint_folder(name), 0, state)
    networks = {**initial["networks"], name: report.to_dict()}
    updated = run.with_initial({**initial, "networks": networks})
    return updated, list(_describe(name, usable, report, trained=recipe.epochs > 0))


def check_initialised(run: Run, recipe: Recipe, networks: Iterable[str]) -> None:
    """Raise RunError if a score would use weights that were neither loaded nor trained."""
    initial = run.metadata.initial
    if recipe.epochs or initial is None:
        return
    score = recipe.score if isinstance(recipe, MultiScoreRecipe) else ""
    published = PUBLISHED_WEIGHTS.get(recipe.model)
    unneeded = published.unneeded if published else {}
    ignored = [
        part for prefix, parts in unneeded.items() if score.startswith(prefix) for part in parts
    ]
    for name in networks:
        report = initial["networks"].get(name)
        if report is None:
            raise RunError(f"{run.folder}: network {name} has neither weights nor training")
        missing = [
            tensor
            for tensor in report["uninitialised"]
            if not any(part in tensor for part in ignored)
        ]
        if missing:
            msg = f"{run.folder}: network {name}: {missing[0]}"
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            msg = f"{msg}{more} did not come with the weights and were not trained"
            other = f", or export another score that may not need them ({', '.join(unneeded)})"
            raise RunError(f"{msg}; train for some epochs{other if score else ''}")


def _describe(
    name: str, files: Sequence[WeightFile], report: MatchReport, *, trained: bool
) -> Iterator[str]:
    sources = ", ".join(file.path.name for file in files)
    yield f"{name}: {report.loaded} of {report.total} tensors loaded from {sources}"
    yield from _list(f"{name}: left out", report.left_out)
    start = "initialised at random" if trained else "stays random, because no epoch is trained"
    yield from _list(f"{name}: {start}", report.uninitialised)
    yield from (f"{name}: {note}" for note in report.notes)


def _list(heading: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"{heading}: {line}" for line in lines[:MAX_LISTED])
    if len(lines) > MAX_LISTED:
        yield f"{heading}: and {len(lines) - MAX_LISTED} more, listed in run.json"
