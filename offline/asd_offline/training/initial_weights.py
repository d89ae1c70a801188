"""Begin a training with weights that are there already: the authors' own, or another run's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from asd_monitor.errors import ConfigError, RunError
from asd_offline.models.published_weights import ORIGINALS
from asd_offline.recipes import MultiScoreRecipe, Recipe
from asd_offline.training.checkpoints import write_checkpoint
from asd_offline.training.loop import identity
from asd_offline.training.run_folder import Run
from asd_offline.weights.matching import Matched, Matching
from asd_offline.weights.reader import WeightsFile, read_weights

SHOWN = 8
"""Of a long list so many lines are shown; the run's folder has them all."""


@dataclass(frozen=True)
class InitialFile:
    """A file of weights, for one network or for all."""

    file: WeightsFile
    network: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return what a run keeps of it."""
        path = str(self.file.path.resolve())
        return {"file": path, "sha256": self.file.sha256, "network": self.network}


def read_initial(given: Iterable[str], networks: Iterable[str]) -> tuple[InitialFile, ...]:
    """Read files given as ``FILE``, for every network, or ``NETWORK=FILE``.

    Raises
    ------
    ConfigError
        If a file cannot be used, or there is no such network.
    """
    names, found = list(networks), []
    for text in given:
        before, equals, after = text.partition("=")
        if Path(text).exists() or not equals:
            found.append(InitialFile(read_weights(Path(text)), None))
            continue
        if before not in names:
            msg = f"--init-from {text}: there is no network {before!r}; there are: "
            raise ConfigError(msg + ", ".join(names))
        found.append(InitialFile(read_weights(Path(after)), before))
    return tuple(found)


def again(kept: Mapping[str, Any]) -> tuple[InitialFile, ...]:
    """Read the files that a run began with once more, where it stopped before it had used them.

    Raises
    ------
    RunError
        If one is not what it was.
    """
    found = []
    for each in kept["files"]:
        try:
            file = read_weights(Path(each["file"]))
        except ConfigError as error:
            raise RunError(f"{error}; the run was to begin with it") from error
        if file.sha256 != each["sha256"]:
            raise RunError(f"{file.path}: is not what it was when the run began with it")
        found.append(InitialFile(file, each["network"]))
    return tuple(found)


def start_from(
    run: Run,
    name: str,
    network: nn.Module,
    recipe: Recipe,
    files: Sequence[InitialFile],
) -> tuple[Run, list[str]]:
    """Put weights into a network and keep it as the run's checkpoint of epoch 0.

    Parameters
    ----------
    name
        Of the network.
    network
        As it is before training.
    files
        Empty: those that the run names.

    Returns
    -------
    tuple
        The run with what was taken noted down, and sentences for the user.

    Raises
    ------
    ConfigError
        If nothing fits.
    RunError
        If the run cannot be written.
    """
    if run.about.initial is None:
        return run, []
    own = [each.file for each in files or again(run.about.initial) if each.network in (None, name)]
    if not own:
        return run, [f"{name}: no weights given, so it starts at random"]
    matched = Matching(network, ORIGINALS.get(run.about.model)).take(own)
    state = {"weights": network.state_dict(), **identity(recipe, name, run.about.seed)}
    write_checkpoint(run.checkpoints(name), 0, state)
    networks = {**run.about.initial["networks"], name: matched.to_dict()}
    noted = run.noted(initial={**run.about.initial, "networks": networks})
    return noted, list(_told(name, own, matched, trained=recipe.epochs > 0))


def _told(
    name: str, files: Sequence[WeightsFile], matched: Matched, *, trained: bool
) -> Iterable[str]:
    where = ", ".join(file.path.name for file in files)
    yield f"{name}: {matched.taken} of {matched.of} tensors taken from {where}"
    yield from _list(f"{name}: left out", matched.left_out)
    kept = "starts at random" if trained else "stays random, as no epoch is trained"
    yield from _list(f"{name}: {kept}", matched.random)
    yield from (f"{name}: {note}" for note in matched.notes)


def _list(heading: str, lines: Sequence[str]) -> Iterable[str]:
    for line in lines[:SHOWN]:
        yield f"{heading}: {line}"
    if len(lines) > SHOWN:
        yield f"{heading}: and {len(lines) - SHOWN} more, listed in run.json"


def refuse_random(run: Run, recipe: Recipe, networks: Iterable[str]) -> None:
    """Raise RunError where a score would come from weights that nobody has trained."""
    if recipe.epochs or run.about.initial is None:
        return
    score = recipe.score if isinstance(recipe, MultiScoreRecipe) else ""
    original = ORIGINALS.get(recipe.model)
    known = original.unneeded if original else {}
    unneeded = [
        part for prefix, parts in known.items() if score.startswith(prefix) for part in parts
    ]
    for name in networks:
        matched = run.about.initial["networks"].get(name)
        if matched is None:
            raise RunError(f"{run.folder}: network {name} has neither weights nor training")
        needed = [each for each in matched["random"] if not any(part in each for part in unneeded)]
        if needed:
            msg = f"{run.folder}: network {name}: {needed[0]}"
            more = f" and {len(needed) - 1} more" if len(needed) > 1 else ""
            msg = f"{msg}{more} did not come with the weights and were not trained"
            without = f", or export another score, which may do without ({', '.join(known)})"
            raise RunError(f"{msg}; train for some epochs{without if score else ''}")
