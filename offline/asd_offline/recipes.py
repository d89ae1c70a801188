"""Recipes: the settings of a training run, checked, with the published values as defaults."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median_high
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_monitor.model_file.manifest import Aggregation
from asd_monitor.settings_file import Document, read, validate
from asd_offline.datasets.audio_files import BAD_CLIP_HINT, ClipLength, read_length
from asd_offline.datasets.clip import Clip

LONGEST_CLIP_S = 18.0
"""Longer recordings are not clips of a challenge (6 to 18 s), and are cut into windows."""
WINDOW_S = 10.0
ALIKE = 0.98
"""Clips that are so long, compared with the longest, are of one length."""

_Beta = Annotated[float, Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """What every model's recipe has; each model adds its own and sets the published defaults."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    model: str = Field(description="Which model this recipe is for.")
    sample_rate_hz: int = Field(16000, ge=1000, le=768_000)
    window_s: float | None = Field(
        None, gt=0, description="Window of the exported model; None: as long as the clips are."
    )
    hop_s: float | None = Field(None, gt=0, description="None: half a window.")
    aggregation: Aggregation = Field("mean", description="Clip score from window scores.")
    held_out_share: float = Field(0.1, gt=0, lt=0.5, description="Kept for the calibration.")
    threshold_p: float = Field(0.001, gt=0, lt=1)

    epochs: int = Field(100, ge=0, le=100_000)
    batch_size: int = Field(512, ge=2)
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    adam_betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "halving"] = "constant"
    constant_epochs: int = Field(0, ge=0, description="Epochs before the schedule begins.")
    final_learning_rate: float = Field(0.0, ge=0, description="Where the schedule ends.")
    mixed_precision: bool = True
    """Train in bfloat16 (or float16) on a GPU."""
    cpu_bfloat16: bool = False
    """Train in bfloat16 on a CPU with AVX-512 BF16."""
    settle_batch_norm: bool = Field(
        False, description="Take batch normalisation's statistics anew after the last epoch."
    )
    auc_every: int | None = Field(
        None, ge=0, description="Epochs between points of the AUC picture; 0: none; None: a tenth."
    )

    @model_validator(mode="after")
    def _hop_within_window(self) -> Self:
        if self.window_s and self.hop_s and self.hop_s > self.window_s:
            msg = f"hop_s ({self.hop_s:g}) is longer than window_s ({self.window_s:g})"
            raise ValueError(msg)
        return self

    @property
    def min_window_samples(self) -> int:
        """Samples of the shortest window that the model accepts."""
        return 1

    def check(self) -> None:
        """Check what the values alone do not show, after :func:`resolve` and before training.

        Raises
        ------
        ConfigError
            If a file that the recipe names, or its window, cannot be used.
        """

    @property
    def window_samples(self) -> int:
        """Samples of a window; only after :func:`resolve`."""
        if self.window_s is None:
            raise ValueError("window_s is not resolved yet")
        return round(self.window_s * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of windows; only after :func:`resolve`."""
        if self.hop_s is None:
            raise ValueError("hop_s is not resolved yet")
        return max(1, round(self.hop_s * self.sample_rate_hz))


class MultiScoreRecipe(Recipe):
    """Recipe of a model with several scores, one of which is exported."""

    score: str

    @classmethod
    def score_names(cls) -> tuple[str, ...]:
        """Return the names of all scores."""
        return get_args(cls.model_fields["score"].annotation)


def read_recipe(path: Path | None, model: str, kind: type[Recipe], **changes: object) -> Recipe:
    """Read a recipe file, or take the published defaults, with single values changed.

    Parameters
    ----------
    path
        YAML file; None for the defaults.
    model
        Which model is trained.
    kind
        The model's own recipe class.
    **changes
        Values from the command line; None leaves a value as it is.

    Raises
    ------
    ConfigError
        With file and line, if a value is wrong, unknown, or the recipe is for another model.
    """
    if path is None:
        document = Document("recipe without --config", {"model": model}, {})
    else:
        document = read(path, "model")
    found = document.values.get("model", model)
    if found != model:
        msg = f"{path}: this recipe is for model {found!r}, not for {model!r}"
        raise ConfigError(msg)
    given = {name: value for name, value in changes.items() if value is not None}
    values = {"model": model, **document.values, **given}
    return validate(kind, Document(document.name, values, document.lines))


def kept_recipe(kind: type[Recipe], values: object, where: str) -> Recipe:
    """Return the recipe that a run or a checkpoint holds; settings new since then have defaults.

    Raises
    ------
    RunError
        If it is not one of this version.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(map(str, first["loc"])) or "recipe"
        msg = f"{where}: its recipe is not one of this version: {what}: {first['msg']}"
        raise RunError(f"{msg}; train again, or use the asd-monitor that wrote it") from error


def resolve(recipe: Recipe, clips: Iterable[Clip]) -> Recipe:
    """Fill in window and hop as :func:`resolve_and_tell` does."""
    return resolve_and_tell(recipe, clips)[0]


def resolve_and_tell(recipe: Recipe, clips: Iterable[Clip]) -> tuple[Recipe, list[str]]:
    """Fill in window and hop where the recipe leaves them to the data.

    The window is as long as the shortest clip; where the shortest is longer than 18 s, 10 s.

    Returns
    -------
    tuple
        The recipe, and sentences for the user where clips are not of one length or sample rate.

    Raises
    ------
    ConfigError
        If the recipe asks for a window that is too short for the model, or for a hop longer than
        the window.
    DatasetError
        If a clip cannot be opened, is shorter than the window that the recipe asks for, or too
        short for the model.
    """
    lengths = [(read_length(clip.path), clip.path) for clip in clips]
    if not lengths:
        raise DatasetError("expected training clips, found none")
    lengths_s = [(_seconds(each, recipe.sample_rate_hz), path) for each, path in lengths]
    shortest_s, where = min(lengths_s)
    window_s = recipe.window_s or (shortest_s if shortest_s <= LONGEST_CLIP_S else WINDOW_S)
    if shortest_s < window_s:
        msg = (
            f"{where}: lasts {shortest_s:.3g} s, the recipe's window {window_s:.3g} s; "
            f"set window_s to {shortest_s:.3g} or less, or remove the clip"
        )
        raise DatasetError(msg)
    _check_window(recipe, window_s, where)
    if recipe.hop_s is not None and recipe.hop_s > window_s:
        msg = f"hop_s: expected at most the window, {window_s:.3g} s here, found {recipe.hop_s:g}"
        raise ConfigError(f"{msg}; take a shorter hop_s, or leave it out for half a window")
    told = _mixed_rates([each.rate_hz for each, _ in lengths], recipe.sample_rate_hz)
    if recipe.window_s is None and window_s == shortest_s < ALIKE * max(lengths_s)[0]:
        half_s = median_high(length_s for length_s, _ in lengths_s)
        told.append(
            f"windows of {window_s:.3g} s, as long as the shortest clip of all machines ({where}); "
            f"half of the clips last {half_s:.3g} s or more"
        )
    changes = {"window_s": window_s, "hop_s": recipe.hop_s or window_s / 2}
    return recipe.model_copy(update=changes), told


def _check_window(recipe: Recipe, window_s: float, shortest: Path) -> None:
    """Refuse a window that the model cannot take; ``shortest`` is the clip that it may be from."""
    least_s = recipe.min_window_samples / recipe.sample_rate_hz
    if window_s >= least_s:
        return
    needs = f"expected at least {least_s:.3g} s, as {recipe.model} needs, found {window_s:.3g} s"
    if recipe.window_s is None:
        raise DatasetError(f"{shortest}: {needs}; {BAD_CLIP_HINT}")
    raise ConfigError(f"window_s: {needs}")


def _mixed_rates(rates_hz: Sequence[int], wanted_hz: int) -> list[str]:
    """Return a sentence for the user where clips have several sample rates."""
    found = Counter(rates_hz)
    if len(found) < 2:
        return []
    text = ", ".join(f"{rate} Hz ({count} clips)" for rate, count in found.most_common())
    return [f"clips of several sample rates: {text}; all are converted to {wanted_hz} Hz"]


def _seconds(length: ClipLength, sample_rate_hz: int) -> float:
    if length.rate_hz == sample_rate_hz:
        return length.seconds
    # Converting the rate may lose a sample or two.
    return float((length.frames * sample_rate_hz // length.rate_hz - 2) / sample_rate_hz)
