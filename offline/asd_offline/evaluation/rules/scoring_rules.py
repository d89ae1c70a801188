"""Description of a challenge's scoring rules; one instance per year, in ``rules.RULES``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from asd_offline.evaluation.metrics import MAX_FPR

MetricName = Literal["auc", "pauc", "precision", "recall", "f1"]
METRICS: tuple[MetricName, ...] = ("auc", "pauc", "precision", "recall", "f1")

Domains = Literal["none", "separate", "shared"]


@dataclass(frozen=True, slots=True)
class CsvForm:
    """Form of the result CSV that the organisers' evaluator writes.

    Metrics are named as in `ScoringRules`.
    """

    file_name: str
    """With ``{system}`` in it."""
    heading: tuple[str, ...]
    """Column titles of a machine's table."""
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Groups of rows: (domain to print, or empty; metrics). A group has a row per section."""
    has_average_row: bool = False
    """A single row of arithmetic means, instead of rows of arithmetic means, of harmonic means and
    of harmonic means of each domain."""
    has_mean_heading: bool = False
    """The rows of means have separate column titles."""
    has_totals: bool = True
    """Means over all machines and the official score follow the machines."""
    has_ci95: bool = False
    """The official score is followed by its "ci95"."""


@dataclass(frozen=True, slots=True)
class ScoringRules:
    """How one year's scores are computed, and in which files they are submitted and published.

    A metric is named ``auc``, ``pauc``, ``precision``, ``recall`` or ``f1`` if it is of a whole
    section, and with ``_source`` or ``_target`` appended if it is of one domain.
    """

    year: int
    section_word: str
    """What the year calls a section: ``section`` or ``id``."""
    domains: Domains
    """``none``: metrics are of whole sections. ``separate``: metrics are of each domain, from its
    clips only. ``shared``: the AUC of a domain compares its normal clips with all anomalies of the
    section, its pAUC is that of the whole section, and its precision, recall and F1 are of its own
    clips."""
    score_parts: tuple[str, ...]
    """Metrics of a section that enter the official score."""
    mean: Literal["arithmetic", "harmonic"]
    """Mean that the official score is."""
    formula: str
    """The official score in words."""
    section_metrics: tuple[str, ...]
    """All metrics of a section, in the order in which results list them."""
    table_metrics: tuple[str, ...]
    """Metrics that are the columns of the table on the terminal."""
    submission_names: tuple[str, ...]
    """Templates of submitted files' names, with ``{kind}``, ``{machine}``, ``{section}`` and, where
    each domain has its own files, ``{domain}``. The first is the official one."""
    csv: CsvForm
    official_source_rows: Callable[[int], int] | None = None
    """Number of a machine's rows, by its number of sections, that the organisers' script counts as
    source domain; None if it counts correctly."""
    has_decisions: bool = True
    """Decisions are submitted as well, so there are precision, recall and F1."""
    means_by_machine: bool = False
    """Means over everything are means over machines of their means over sections."""
    max_fpr: float = MAX_FPR
    """False-positive rate up to which the pAUC is computed."""

    @property
    def metrics(self) -> tuple[MetricName, ...]:
        """Metrics of a section or domain."""
        return METRICS if self.has_decisions else METRICS[:2]

    @property
    def domain_files(self) -> bool:
        """Whether each domain has its own submitted files."""
        return "{domain}" in self.submission_names[0]
