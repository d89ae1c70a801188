"""Read the ``result.json`` of comparisons."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from asd_monitor.errors import DatasetError
from asd_offline.comparison.summary import SCHEMA

MAX_BYTES = 200 * 1024**2


class Decisions(BaseModel):
    """Decisions on clips by one rule for the threshold."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    rule: str | None = None
    """How the threshold was determined, or why there is none."""
    anomalies: int
    normals: int
    true_positives: int | None = None
    false_positives: int | None = None


class SectionValues(BaseModel):
    """One machine's section in one run."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    auc: float
    normal_clips: int
    anomalous_clips: int
    decisions: Mapping[str, Decisions] = {}
    """By the source of the threshold, ``model`` or ``gamma``; empty if not measured."""
    detected: int | None = None
    """Anomalous clips with an alarm, repeated for up to five minutes."""
    false_alarms: int | None = None
    normal_hours: float | None = None


class RunValues(BaseModel):
    """One model with one seed."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    seed: int
    failure: str | None = None
    metrics: Mapping[str, Mapping[str, float | None]] = {}
    """By machine, and over all machines (``all``)."""
    missing: Mapping[str, str] = {}
    """Sections without an AUC that could have one, with reasons."""
    ci95: float | None = None
    sections: Mapping[str, SectionValues] = {}

    @property
    def is_usable(self) -> bool:
        """Whether the run succeeded in all sections."""
        return self.failure is None and not self.missing


class ModelValues(BaseModel):
    """One model with its recipe."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    model: str
    name: str | None = None
    """Name of the recipe's file, if the recipe was given by its file; else that of the model."""
    recipe: Mapping[str, Any] | None = None
    recipe_source: str | None = None
    deterministic: bool = False
    each_machine: bool = False
    """Whether each machine was trained and scored separately."""
    runs: tuple[RunValues, ...] = ()


class ResultDocument(BaseModel):
    """What a comparison has found on one dataset."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    dataset: str
    data_digest: str
    is_synthetic: bool = False
    year: int | None = None
    rules: int
    machines: tuple[str, ...]
    models: tuple[ModelValues, ...]
    versions: Mapping[str, str] = {}


def encode_document(document: ResultDocument) -> str:
    """Return a document as JSON that :func:`read_document` reads."""
    values = {"schema": SCHEMA} | document.model_dump(mode="json")
    return json.dumps(values, allow_nan=False, indent=1) + "\n"


def read_document(path: Path) -> ResultDocument:
    """Read the ``result.json`` of ``compare``; of a folder, the one in it.

    Raises
    ------
    DatasetError
        If the file cannot be read, or is another document.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{file}: expected at most {MAX_BYTES // 1024**2} MB")
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{file}: expected the result.json of `asd-monitor compare`: {error.strerror}"
        raise DatasetError(msg) from error
    except (ValueError, RecursionError) as error:
        msg = f"{file}: expected the result.json of `asd-monitor compare`; {error}"
        raise DatasetError(msg) from error
    found = values.get("schema") if isinstance(values, dict) else None
    if found != SCHEMA:
        msg = f"{file}: expected a document {SCHEMA}, found {found or 'none'}"
        raise DatasetError(
            f"{msg}; run the same `asd-monitor compare` again: nothing is trained twice"
        )
    try:
        return ResultDocument.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{file}: {place}: {first['msg']}") from error
