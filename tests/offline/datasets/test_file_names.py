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


@pytest.mark.parametrize("year", [year for year in CHALLENGES if year > 2020])
def test_a_name_with_empty_attributes_is_parsed(year: int) -> None:
    parsed = CHALLENGES[year].parse("train", "section_00_source_train_normal_0000_.wav")
    assert parsed == ParsedName("section_00", "source", "train", NORMAL, 0)


@pytest.mark.parametrize("year", [2024, 2025, 2026])
@pytest.mark.parametrize("folder", ["train", "test"])
def test_names_of_hidden_attributes_are_parsed(year: int, folder: str) -> None:
    name = f"section_00_target_{folder}_normal_0990_noAttribute.wav"
    parsed = CHALLENGES[year].parse(folder, name)
    assert (parsed.domain, parsed.index, parsed.attributes) == ("target", 990, ())
    assert CHALLENGES[year].parse("test", "section_00_0200.wav").label is None


@pytest.mark.parametrize(
    ("year", "tail", "expected"),
    [
        (2024, "mdl_A_spd_2", "mdl=A spd=2"),
        (2024, "fl_2_nos_3", "fl=2 nos=3"),
        (2024, "spd1000_BckgA", "spd=1000 Bckg=A"),
        (2024, "weight15_BckgF", "weight=15 Bckg=F"),
        (2024, "pro_A_wt_200_damage1", "pro=A wt=200 damage=1"),
        (2024, "ac_0.03_", "ac=0.03"),
        (2024, "id_C2_spd_4_mic_2", "id=C2 spd=4 mic=2"),
        (2025, "n_B", "n=B"),
        (2025, "vol_12000", "vol=12000"),
        (
            2025,
            "mic_imp34dt05_mic_pos_A_grind_100_bkg_A",
            "mic=imp34dt05 mic_pos=A grind=100 bkg=A",
        ),
        (2025, "mic_imp#absu_mic_pos_B_grind_50_bkg_B", "mic=imp#absu mic_pos=B grind=50 bkg=B"),
        (2025, "pro_A_vel_12_loc_B", "pro=A vel=12 loc=B"),
        (2026, "car_D2_spd_5_mic_2_mic_1", "car=D2 spd=5 mic=2 mic_2=1"),
        (2026, "pro_y", "pro=Y"),
        (2026, "spd_4_grit_120", "spd=4 grit=120"),
        (2026, "mat_towel_lay_3_mode_A_spd_2", "mat=towel lay=3 mode=A spd=2"),
    ],
)
def test_attributes_of_later_years_are_divided(year: int, tail: str, expected: str) -> None:
    name = f"section_00_source_test_anomaly_0000_{tail}.wav"
    attributes = CHALLENGES[year].parse("test", name).attributes
    assert " ".join(f"{key}={value}" for key, value in attributes) == expected


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
