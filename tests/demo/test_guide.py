"""The demo shows where its page and its event are, and when it ends."""

import pytest

from asd_monitor.demo.guide import Guide

URL = "http://127.0.0.1:9110/"


class Course:
    """A scenario that ends when a test says so."""

    def __init__(self) -> None:
        self.event_id = ""
        self.is_over = False

    def finished(self) -> bool:
        return self.is_over


def test_the_links_of_page_and_event_are_shown_once() -> None:
    course, shown = Course(), list[str]()
    guide = Guide(course, lambda: URL, shown.append, stays_open=False)
    guide.is_done()
    guide.is_done()
    assert len(shown) == 1
    assert f"{URL} in a browser" in shown[0]
    course.event_id = "e1"
    guide.is_done()
    guide.is_done()
    assert shown[1:] == [f"what the monitor found: {URL}events/e1"]


@pytest.mark.parametrize("stays_open", [False, True])
def test_it_ends_with_the_scenario_unless_the_page_stays_open(stays_open: bool) -> None:
    course, shown = Course(), list[str]()
    guide = Guide(course, lambda: URL, shown.append, stays_open=stays_open)
    assert not guide.is_done()
    course.is_over, course.event_id = True, "e1"
    assert guide.is_done() is not stays_open
    assert any("Ctrl-C" in text and f"{URL}events/e1" in text for text in shown) is stays_open
