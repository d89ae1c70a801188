"""Words in names of folders and files that say what their recordings are.

One vocabulary for every layout: label words (``normal``, ``OK``, ``broken``, ``leak``), split words
(``train``, ``test``, ``valid``) and background noise. Case is ignored, and words may be joined by
any separator or by capitals: ``AnomalousSound_IND``, ``not_ok``, ``2024-05-01 faulty``.
"""

import re
from dataclasses import dataclass
from typing import Literal

NORMAL = 0
ANOMALY = 1

FolderSplit = Literal["train", "test", "validation"]

_NORMAL = re.compile(r"normals?|ok|okay|good|healthy|intact|nominal|undamaged|unbroken|faultless")
_ANOMALY = re.compile(
    r"anomal\w*|abnormal\w*|ng|nok|bad|broken|worn|cracked|unhealthy|defe[ck]t\w*|damag\w*|leak\w*"
    r"|faul\w*|fail\w*|malfunction\w*"
)
_NOT_ANOMALY = frozenset({"failsafe", "failover", "leakproof", "leaktight"})
_NEGATIONS = frozenset({"no", "non", "not", "without"})
_FREE = "free"
_NOISE = frozenset({"noise", "noises", "ambience"})
_SPLITS: dict[str, FolderSplit] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_FILLERS = frozenset(
    {
        *("sound", "sounds", "recording", "recordings", "clip", "clips", "sample", "samples"),
        *("file", "files", "data", "audio", "wav", "set", "machine", "state", "condition"),
        *("environmental", "environment", "background", "ambient"),
        *("ind", "cnt"),  # kinds of recordings in ToyADMOS
        *("source", "target"),
    }
)
"""Words that a folder called after a label, a split or noise may have besides."""
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, slots=True)
class FolderName:
    """What the name of a folder says."""

    labels: frozenset[int] = frozenset()
    """Labels whose words are in it."""
    split: FolderSplit | None = None
    is_noise: bool = False
    """Background noise without the machine."""
    is_name: bool = True
    """There are other words in it, so that it may be the name of a machine or of a section."""


def find_labels(name: str) -> frozenset[int]:
    """Return the labels, 0 normal and 1 anomalous, whose words are in a name.

    >>> find_labels("AnomalousSound_IND"), find_labels("no_fault"), find_labels("default")
    (frozenset({1}), frozenset({0}), frozenset())
    """
    labels = {label for words in _spellings(name) for label in _labels(words)}
    return frozenset(label for label in labels if label is not None)


def parse_folder(name: str) -> FolderName:
    """Determine whether a folder is called after a label, a split, noise or a machine.

    >>> parse_folder("pump_leak").is_name, parse_folder("train_OK").split
    (True, 'train')
    """
    for words in _spellings(name):
        labels = _labels(words)
        splits = {_SPLITS[word] for word in words if word in _SPLITS}
        others = [
            word
            for word, label in zip(words, labels, strict=True)
            if label is None and word not in {*_SPLITS, *_NOISE, *_FILLERS, *_NEGATIONS, _FREE}
        ]
        found = frozenset(label for label in labels if label is not None)
        is_noise = any(word in _NOISE for word in words)
        if not others and len(splits) < 2 and (found or splits or is_noise):
            split = next(iter(splits), None)
            return FolderName(found, split, is_noise and not found, is_name=False)
    return FolderName(find_labels(name))


def label_of(word: str) -> int | None:
    """Return the label that a word of its own means, as in a column of labels; else None."""
    folder = parse_folder(word)
    return next(iter(folder.labels)) if len(folder.labels) == 1 and not folder.is_name else None


def as_split(split: FolderSplit | None) -> Literal["train", "test"] | None:
    """Return the split of recordings in such a folder; None for none and for validation."""
    return None if split == "validation" else split


def _spellings(name: str) -> list[list[str]]:
    """Return the words of a name in lower case, split at separators, then also at capitals."""
    words = _WORD.findall(name)
    camel = [part for word in words for part in _CAMEL.findall(word) or [word]]
    return [[word.lower() for word in spelling] for spelling in (words, camel)]


def _labels(words: list[str]) -> list[int | None]:
    """Return the label of each word; a negated one has the opposite label."""
    labels: list[int | None] = []
    negated = False
    for index, word in enumerate(words):
        label = None
        if _NORMAL.fullmatch(word):
            label = NORMAL
        elif _ANOMALY.fullmatch(word) and word not in _NOT_ANOMALY:
            label = ANOMALY
        is_free = label == ANOMALY and words[index + 1 : index + 2] == [_FREE]
        if label is not None and (negated or is_free):
            label = ANOMALY if label == NORMAL else NORMAL
        labels.append(label)
        negated = word in _NEGATIONS
    return labels
