"""Sentences are wrapped between words on a terminal only."""

import io

import pytest

from asd_monitor.terminal.wrapping import wrap


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


TEXT = (
    "one sentence of several words\n  an indented one of several words /a/very/long/path/to/a/file"
)


def test_lines_are_wrapped_between_words_with_their_indent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    lines = wrap(TEXT, Terminal()).split("\n")
    assert lines[:4] == [
        "one sentence of",
        "  several words",
        "  an indented one of",
        "    several words",
    ]
    assert lines[-1].strip() == "/a/very/long/path/to/a/file"  # can be copied


def test_a_pipe_gets_each_sentence_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert wrap(TEXT, io.StringIO()) == TEXT
