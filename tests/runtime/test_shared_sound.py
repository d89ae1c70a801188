"""A change of sound is attributed to the microphone in which it is clearly stronger."""

from dataclasses import replace

import numpy as np
import pytest

from asd_monitor.modes.profile import window_profile
from asd_monitor.records import Window
from asd_monitor.runtime.shared_sound import SharedSound
from tests.rig.records import SCORE

RATE_HZ, WINDOW_S = 16_000, 2
MACHINES = ("fan", "pump")


def play(added: dict[str, float], running: tuple[str, ...] = MACHINES) -> dict[str, list[str]]:
    """Return to which microphone each machine's windows are attributed.

    Parameters
    ----------
    added
        Level in dB, relative to its usual sound, of what is added to each after a minute.
    running
        Machines that may be the origin.
    """
    shared, rng = SharedSound(), np.random.default_rng(0)
    found: dict[str, list[str]] = {machine: [] for machine in MACHINES}
    for index in range(45):
        event = rng.standard_normal(RATE_HZ * WINDOW_S)
        for number, machine in enumerate(MACHINES):
            samples = rng.standard_normal(RATE_HZ * WINDOW_S)
            is_added = index >= 30 and machine in added
            if is_added:
                samples = samples + 10 ** (added[machine] / 20) * event
            gain = (0.01, 0.1)[number]
            at = 1000.0 + (index + 1) * WINDOW_S
            window = Window(machine, (gain * samples).astype(np.float32), index, at)
            score = replace(SCORE, machine=machine, p_value=0.001 if is_added else 0.5)
            if index % 2:  # the detector of a machine with modes has measured them
                octaves_db = window_profile(window.samples, RATE_HZ)
                score = replace(score, octaves_db=octaves_db)
            found[machine].append(
                shared.attribute(window, score, RATE_HZ, running.__contains__).elsewhere
            )
    return found


def test_the_weaker_of_two_microphones_names_the_other() -> None:
    found = play({"fan": 12.0, "pump": 3.0})
    assert not any(found["pump"][:30])
    last = found["pump"][-1]
    assert last.endswith("dB stronger in the microphone of fan")
    assert 5 <= int(last.split()[0]) <= 10
    assert not any(found["fan"])


@pytest.mark.parametrize("added", [{"pump": 6.0}, {"fan": 6.0, "pump": 6.0}])
def test_a_sound_in_one_microphone_or_alike_in_both_is_not_attributed(
    added: dict[str, float],
) -> None:
    found = play(added)
    assert not any(found["pump"])
    assert not any(found["fan"])


def test_a_machine_that_is_off_is_not_the_origin() -> None:
    assert not any(play({"fan": 12.0, "pump": 3.0}, running=("pump",))["pump"])
