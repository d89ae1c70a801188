"""Numbers in file names count by their value."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.audio.natural_order import natural_key
from asd_monitor.sources.playlist import find_recordings


@given(st.lists(st.text()))
def test_any_names_can_be_sorted_and_distinct_names_have_distinct_keys(names: list[str]) -> None:
    keys = sorted({natural_key(name) for name in names})
    assert len(keys) == len(set(names))


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_padded_and_plain_numbers_are_in_the_same_order(numbers: list[int]) -> None:
    plain = sorted((f"clip {n}.wav" for n in numbers), key=natural_key)
    assert plain == [f"clip {n}.wav" for n in sorted(numbers)]


def test_a_folder_is_played_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    names = [f"{n}.wav" for n in range(1, 12)]
    for name in names:
        (tmp_path / name).touch()
    assert [name for name, _ in find_recordings([tmp_path])] == names
