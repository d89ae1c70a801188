"""Generated official names are parsed into the fields that they were generated from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_offline.datasets import ANOMALY, CHALLENGES, NORMAL
from asd_offline.datasets.clip import Domain, Split
from asd_offline.datasets.parsed_name import ParsedName, UnrecognisedFileName

LABELS = st.sampled_from(["normal", "anomaly"])
DOMAINS: st.SearchStrategy[Domain] = st.sampled_from(["source", "target"])
SECTIONS = st.integers(0, 99).map(lambda n: f"section_{n:02d}")
WORD = st.text("abcXYZ019.-", min_size=1, max_size=5)
PAIRS = st.lists(st.tuples(WORD, WORD), max_size=3).map(tuple)
VALUES = {"normal": NORMAL, "anomaly": ANOMALY}


def tail(pairs: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"_{name}_{value}" for name, value in pairs)


@given(st.integers(0, 99), st.integers(0, 99_999_999), LABELS)
def test_2020(number: int, index: int, word: str) -> None:
    parse, section = CHALLENGES[2020].parse, f"id_{number:02d}"
    name = f"{section}_{index:08d}.wav"
    assert parse("train", f"normal_{name}") == ParsedName(section, "", "train", NORMAL, index)
    assert parse("test", f"{word}_{name}") == ParsedName(section, "", "test", VALUES[word], index)
    assert parse("test", name) == ParsedName(section, "", "test", None, index)


@given(SECTIONS, DOMAINS, st.integers(0, 9999), LABELS, WORD)
def test_2021(section: str, domain: Domain, index: int, word: str, condition: str) -> None:
    parse, stem = CHALLENGES[2021].parse, f"{section}_{domain}"
    conditions = (("condition", condition),)
    assert parse("train", f"{stem}_train_normal_{index:04d}_{condition}.wav") == ParsedName(
        section, domain, "train", NORMAL, index, conditions
    )
    folder = f"{domain}_test"
    assert parse(folder, f"{stem}_test_{word}_{index:04d}.wav") == ParsedName(
        section, domain, "test", VALUES[word], index
    )
    assert parse(folder, f"{stem}_test_{index:04d}.wav") == ParsedName(
        section, domain, "test", None, index
    )


@pytest.mark.parametrize("year", [2022, 2023])
@given(section=SECTIONS, domain=DOMAINS, index=st.integers(0, 9999), word=LABELS, pairs=PAIRS)
def test_2022_and_later(
    year: int,
    section: str,
    domain: Domain,
    index: int,
    word: str,
    pairs: tuple[tuple[str, str], ...],
) -> None:
    parse = CHALLENGES[year].parse
    section = "section_00" if year == 2023 else section
    stem = f"{section}_{domain}"
    train = parse("train", f"{stem}_train_normal_{index:04d}{tail(pairs)}.wav")
    assert train == ParsedName(section, domain, "train", NORMAL, index, pairs)
    test = parse("test", f"{stem}_test_{word}_{index:04d}{tail(pairs)}.wav")
    assert test == ParsedName(section, domain, "test", VALUES[word], index, pairs)
    assert parse("test", f"{section}_{index:04d}.wav") == ParsedName(
        section, "", "test", None, index
    )


@pytest.mark.parametrize("year", [2021, 2022, 2023])
def test_a_name_with_empty_attributes_is_parsed(year: int) -> None:
    parsed = CHALLENGES[year].parse("train", "section_00_source_train_normal_0000_.wav")
    assert parsed == ParsedName("section_00", "source", "train", NORMAL, 0)


@given(
    year=st.sampled_from(sorted(CHALLENGES)),
    folder=st.sampled_from(["train", "test", "source_test", "target_test"]),
    name=st.one_of(
        st.text(max_size=30),
        st.from_regex(r"(normal_|anomaly_)?id_\d\d_\d{8}\.wav", fullmatch=True),
        st.from_regex(
            r"section_\d\d(_(source|target))?(_(train|test))?(_(normal|anomaly))?_\d{4}(_a_b)?\.wav",
            fullmatch=True,
        ),
    ),
)
def test_any_name_is_parsed_or_refused_with_a_reason(year: int, folder: Split, name: str) -> None:
    try:
        parsed = CHALLENGES[year].parse(folder, name)
    except UnrecognisedFileName as error:
        assert str(error)  # noqa: PT017
        return
    assert parsed.split == ("train" if folder == "train" else "test")
    assert parsed.split == "test" or (parsed.label == NORMAL and "_test" not in name)
    assert Path(name).name == name
