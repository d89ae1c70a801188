"""Settings of a comparison."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """What is compared, and how."""

    dataset: Path
    out: Path
    cache: Path
    models: tuple[str, ...] = ()
    """Names, or ``all``; empty: the default models, unless there are ``configs``."""
    configs: tuple[Path, ...] = ()
    """Recipes that are compared as well, each under the name of its file."""
    seeds: int = 4
    machines: tuple[str, ...] = ()
    """Empty: all."""
    year: int | None = None
    ground_truth: Path | None = None
    recipes: Path | None = None
    epochs: int | None = None
    device: str = "auto"
    jobs: int | None = None
    """Number of simultaneous runs; None: one per core as far as memory allows, one on a GPU."""
    command: str = ""
    cluster: str = ""
    """Address of a Ray cluster that does the runs; empty: processes of this computer."""
    each_machine: bool = False
    """Whether each machine is trained and scored separately, with a window as long as its clips."""
