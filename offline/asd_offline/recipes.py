"""Recipes: validated settings of a training run, with the published values as defaults."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median_high
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from asd_monitor.errors import ConfigError, DatasetError, RunError
from asd_monitor.model_file.manifest import Aggregation
from asd_monitor.settings_file import Document, read, validate
from asd_offline.datasets.audio_files import BAD_CLIP_HINT, NEAR, ClipLength, read_length
from asd_offline.datasets.clip import Clip

MAX_CLIP_S = 18.0
"""Longer recordings are not clips of a challenge (6 to 18 s), and are cut into windows."""
WINDOW_S = 10.0
SAME_LENGTH_RATIO = 0.98
"""Clips of at least this length, relative to the longest, count as equally long."""

_Beta = Annotated[float, Field(ge=0, lt=1)]
RecipeT = TypeVar("RecipeT", bound="Recipe")


class Recipe(BaseModel):
    """Settings that all models share; each model adds its own and sets the published defaults."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    model: str
    """Name of the model that this recipe is for."""
    sample_rate_hz: int = Field(16000, ge=1000, le=768_000)
    window_s: float | None = Field(None, gt=0)
    """Window of the exported model; None: the length of the shortest clip."""
    hop_s: float | None = Field(None, gt=0)
    """Distance between the starts of windows; None: half a window."""
    aggregation: Aggregation = "mean"
    """How a clip's score follows from the scores of its windows."""
    held_out_fraction: float = Field(0.1, gt=0, lt=0.5)
    """Fraction of the training clips that is used for the calibration only."""

    epochs: int = Field(100, ge=0, le=100_000)
    batch_size: int = Field(512, ge=2)
    """Samples per batch, of all processes together."""
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    adam_betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "halving"] = "constant"
    constant_epochs: int = Field(0, ge=0)
    """Epochs before the schedule begins; its first epoch has the full learning rate as well."""
    cosine_epochs: int | None = Field(None, ge=1, le=100_000)
    """Epochs in which ``cosine`` reaches ``final_learning_rate``; None: those that are left after
    ``constant_epochs``. A longer cosine is cut off by the end of the training."""
    final_learning_rate: float = Field(0.0, ge=0)
    """Where the schedule ends."""
    mixed_precision: bool = True
    """Train in bfloat16 (or float16) on a GPU."""
    cpu_bfloat16: bool = False
    """Train in bfloat16 on a CPU with AVX-512 BF16."""
    recompute_batch_norm: bool = False
    """Recompute the statistics of batch normalisation after the last epoch."""
    auc_interval_epochs: int | None = Field(None, ge=0)
    """Epochs between points of the AUC curve; 0: no curve; None: a tenth of all epochs."""

    @model_validator(mode="after")
    def _check_hop(self) -> Self:
        if self.window_s and self.hop_s and self.hop_s > self.window_s:
            msg = f"hop_s ({self.hop_s:g}) is longer than window_s ({self.window_s:g})"
            raise ValueError(msg)
        return self

    @property
    def input_channels(self) -> tuple[int, ...]:
        """Channels of a recording that the exported model scores, from the first on.

        With two (`NEAR_AND_FAR`), the detector receives ``(batch, 2, window_samples)``.
        """
        return NEAR

    @property
    def uses_supplemental(self) -> bool:
        """Whether the model is trained with supplemental clips."""
        return False

    @property
    def min_window_samples(self) -> int:
        """Samples of the shortest window that the model accepts."""
        return 1

    @property
    def window_samples(self) -> int:
        """Samples of a window; the recipe must be resolved."""
        if self.window_s is None:
            raise ValueError("window_s is not resolved yet")
        return round(self.window_s * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Samples between the starts of windows; the recipe must be resolved."""
        if self.hop_s is None:
            raise ValueError("hop_s is not resolved yet")
        return max(1, round(self.hop_s * self.sample_rate_hz))

    def check(self) -> None:
        """Check what the values alone do not show, after :func:`resolve` and before training.

        Raises
        ------
        ConfigError
            If a file that the recipe names, or its window, cannot be used.
        """


class MultiScoreRecipe(Recipe):
    """Recipe of a model with several scores, one of which is exported."""

    score: str

    @classmethod
    def score_names(cls) -> tuple[str, ...]:
        """Return the names of all scores."""
        return get_args(cls.model_fields["score"].annotation)


def read_recipe(
    path: Path | None, model: str, recipe_type: type[RecipeT], **overrides: object
) -> RecipeT:
    """Read a recipe file, or take the published defaults.

    Parameters
    ----------
    path
        YAML file; None for the defaults.
    model
        Name of the model to train.
    recipe_type
        The model's recipe class.
    **overrides
        Values from the command line; None changes nothing.

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
    given = {name: value for name, value in overrides.items() if value is not None}
    values = {"model": model, **document.values, **given}
    return validate(recipe_type, Document(document.name, values, document.lines))


def restore_recipe(recipe_type: type[RecipeT], values: object, where: str) -> RecipeT:
    """Return the recipe stored in a run or checkpoint; settings added since then have defaults.

    Raises
    ------
    RunError
        If it is not valid in this version.
    """
    try:
        return recipe_type.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(map(str, first["loc"])) or "recipe"
        msg = f"{where}: its recipe is not valid in this version: {setting}: {first['msg']}"
        raise RunError(f"{msg}; train again, or use the asd-monitor that wrote it") from error


def resolve(recipe: Recipe, clips: Iterable[Clip]) -> tuple[Recipe, list[str]]:
    """Set window and hop from the data if the recipe does not.

    The window is as long as the shortest clip, or 10 s if the shortest clip is longer than 18 s.

    Returns
    -------
    tuple
        The recipe, and sentences for the user if clips differ in length or sample rate.

    Raises
    ------
    ConfigError
        If the recipe's window is too short for the model, or its hop longer than the window.
    DatasetError
        If a clip cannot be opened, is shorter than the recipe's window, or too short for the
        model.
    """
    lengths = [(read_length(clip.path), clip.path) for clip in clips]
    if not lengths:
        raise DatasetError("expected training clips, found none")
    lengths_s = [(_usable_s(length, recipe.sample_rate_hz), path) for length, path in lengths]
    shortest_s, shortest = min(lengths_s)
    window_s = recipe.window_s or (shortest_s if shortest_s <= MAX_CLIP_S else WINDOW_S)
    if shortest_s < window_s:
        msg = (
            f"{shortest}: lasts {shortest_s:.3g} s, the recipe's window {window_s:.3g} s; "
            f"set window_s to {shortest_s:.3g} or less, or remove the clip"
        )
        raise DatasetError(msg)
    _check_window(recipe, window_s, shortest)
    if recipe.hop_s is not None and recipe.hop_s > window_s:
        msg = f"hop_s: expected at most the window, {window_s:.3g} s here, found {recipe.hop_s:g}"
        raise ConfigError(f"{msg}; use a shorter hop_s, or leave it out for half a window")
    notes = _describe_rates([length.rate_hz for length, _ in lengths], recipe.sample_rate_hz)
    if recipe.window_s is None and window_s == shortest_s < SAME_LENGTH_RATIO * max(lengths_s)[0]:
        half_s = median_high(length_s for length_s, _ in lengths_s)
        notes.append(
            f"windows of {window_s:.3g} s, as long as the shortest clip of all machines "
            f"({shortest}); half of the clips last {half_s:.3g} s or more"
        )
    changes = {"window_s": window_s, "hop_s": recipe.hop_s or window_s / 2}
    return recipe.model_copy(update=changes), notes


def _check_window(recipe: Recipe, window_s: float, shortest: Path) -> None:
    """Reject a window that the model does not accept; ``shortest`` is the shortest clip."""
    min_s = recipe.min_window_samples / recipe.sample_rate_hz
    if window_s >= min_s:
        return
    needs = f"expected at least {min_s:.3g} s, as {recipe.model} needs, found {window_s:.3g} s"
    if recipe.window_s is None:
        raise DatasetError(f"{shortest}: {needs}; {BAD_CLIP_HINT}")
    raise ConfigError(f"window_s: {needs}")


def _describe_rates(rates_hz: Sequence[int], target_hz: int) -> list[str]:
    """Return a sentence for the user if clips differ in sample rate."""
    counts = Counter(rates_hz)
    if len(counts) < 2:
        return []
    text = ", ".join(f"{rate} Hz ({count} clips)" for rate, count in counts.most_common())
    return [f"clips of several sample rates: {text}; all are converted to {target_hz} Hz"]


def _usable_s(length: ClipLength, sample_rate_hz: int) -> float:
    """Return the seconds of a clip after conversion of its rate, which may cost two samples."""
    if length.rate_hz == sample_rate_hz:
        return length.seconds
    return float((length.frames * sample_rate_hz // length.rate_hz - 2) / sample_rate_hz)
