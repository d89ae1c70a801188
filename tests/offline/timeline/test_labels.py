"""Labels of a stream: what is read, and what is refused with which words."""

from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.timeline.labels import Span, read_spans

HEADER = "start_s,end_s,label\n"


def read(tmp_path: Path, content: str | bytes, duration_s: float = 100.0) -> tuple[Span, ...]:
    path = tmp_path / "day.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_spans(path, duration_s)


def test_rows_are_faults_in_order_of_time_with_their_further_columns(tmp_path: Path) -> None:
    spans = read(tmp_path, "start_s,end_s,label,level_db\n50,60.5,rattle,-6\n10,20,hiss,\n")
    assert spans == (Span(10, 20, "hiss"), Span(50, 60.5, "rattle", {"level_db": "-6"}))


def test_a_header_alone_means_that_all_sound_is_normal(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER) == ()


def test_rows_labelled_normal_are_normal_sound_and_ignored_ones_are_no_faults(
    tmp_path: Path,
) -> None:
    (span,) = read(tmp_path, HEADER + "0,30,normal\n40,50,ignore\n")
    assert (span.start_s, span.is_fault) == (40, False)


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + "1,2,Geräusch\n").encode("utf-8-sig"),
        (HEADER + "1,2,Geräusch\n").encode("utf-16"),
        HEADER.replace(",", ";") + "1;2;Geräusch\n",
        HEADER.replace(",", "\t").upper() + "1\t2\tGeräusch\r\n\r\n",
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, content: str | bytes) -> None:
    assert read(tmp_path, content) == (Span(1, 2, "Geräusch"),)


def test_an_end_is_rounded_down_to_the_end_of_the_recording(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + "90,100.05,hiss\n") == (Span(90, 100, "hiss"),)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "expected a header with the columns start_s,end_s,label, found an empty file"),
        ("10,20,hiss\n", "row 1: expected a header with the columns start_s,end_s,label"),
        (HEADER + "10,20\n", "row 2: expected 3 columns, found 2"),
        (HEADER + "1,5,2,5,hiss\n", "decimals need a point"),
        (HEADER.replace(",", ";") + "1,5;2,5;hiss\n", "decimals need a point"),
        (HEADER + "0:01:30,0:02:00,hiss\n", "not as h:mm:ss"),
        (HEADER + "-1,20,hiss\n", "row 2: start_s: expected seconds"),
        (HEADER + "nan,20,hiss\n", "row 2: start_s: expected seconds"),
        (HEADER + "20,20,hiss\n", "expected an end after the start, found 20 to 20 s"),
        (HEADER + "10,20,\n", "row 2: expected a label"),
        (HEADER + "90,101,hiss\n", "beyond the end of the recording at 100.0 s"),
        (HEADER + "100,100.1,hiss\n", "beyond the end of the recording at 100.0 s"),
        (HEADER + "30,50,hiss\n10,31,rub\n", "row 2 (30 to 50 s) overlaps row 3 (10 to 31 s)"),
        (HEADER.encode() + b"1,2,Ger\xe4usch\n", "expected text in UTF-8, found byte 0xe4"),
    ],
)
def test_an_invalid_file_is_refused_with_row_and_reason(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    with pytest.raises(DatasetError) as error:
        read(tmp_path, content)
    assert words in str(error.value)
    assert "day.csv" in str(error.value)
