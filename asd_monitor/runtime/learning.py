"""Fit the model of a machine to its recordings, on this computer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from asd_monitor.model_file.manifest import Json, Manifest
from asd_monitor.progress import Progress

if TYPE_CHECKING:
    from asd_monitor.quickstart import Recording


@dataclass(frozen=True, slots=True)
class LearningTask:
    """What is learned, except for the recordings."""

    machine: str
    sample_rate_hz: int
    window_s: float | None = None
    """Length of a window; None: chosen from the machine's cycle."""
    hop_s: float | None = None
    """Distance between the starts of windows; None: 1 s."""
    origin: Mapping[str, Json] = field(default_factory=dict)
    """Further entries of ``training`` in the manifest: microphones and rates of the recordings."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the task that :meth:`to_dict` has written; TypeError for other keys."""
        return cls(**values)


class LearnedModel(NamedTuple):
    """The model of a machine."""

    content: bytes
    """Content of its file."""
    manifest: Manifest


def learn_here(
    task: LearningTask, recordings: "Sequence[Recording]", progress: Progress
) -> LearnedModel:
    """Fit a quick-start model.

    Raises
    ------
    ConfigError
        If torch is not installed, or there is too little usable sound.
    """
    from asd_monitor.model_file.runtimes import require_torch

    require_torch("learning", "learn on a computer that has it (--remote, learn.remote)")
    import torch

    from asd_monitor import model_file, quickstart

    # Alongside scoring, two OpenMP threads spin at each other's barriers: one is faster.
    torch.set_num_threads(1)
    fitted = quickstart.fit(
        recordings,
        target=task.machine,
        sample_rate_hz=task.sample_rate_hz,
        window_s=task.window_s,
        hop_s=task.hop_s,
        progress=progress,
    )
    progress.update("save", 0.0, 1.0)
    training = {**fitted.manifest.training, **task.origin}
    manifest = replace(fitted.manifest, training=training)
    content = model_file.pack(fitted.module, manifest, normal_sound=fitted.normal_sound)
    return LearnedModel(content, manifest)
