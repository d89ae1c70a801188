"""Which machines and sections make up each year's development and evaluation set."""

from collections.abc import Iterable, Mapping
from typing import Literal

YEARS = (2020, 2021, 2022, 2023)

SetName = Literal["dev", "eval"]
Sections = Mapping[str, tuple[str, ...]]

_MIMII_DG = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")
_MIMII_DUE = ("fan", "gearbox", "pump", "slider", "valve", "ToyCar", "ToyTrain")
_FIRST_SHOT = ("bandsaw", "grinder", "shaker", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum")


def _ids(*numbers: int) -> tuple[str, ...]:
    return tuple(f"id_{number:02d}" for number in numbers)


def _sections(*numbers: int) -> tuple[str, ...]:
    return tuple(f"section_{number:02d}" for number in numbers)


def official_set(year: int, name: SetName) -> Sections:
    """Machine types of a set with their sections (ids in 2020), in the organisers' order.

    Raises
    ------
    ValueError
        If ``year`` is not one of `YEARS`.
    """
    dev = name == "dev"
    if year == 2020:
        sections = dict.fromkeys(
            ("fan", "pump", "slider", "valve"), _ids(0, 2, 4, 6) if dev else _ids(1, 3, 5)
        )
        sections["ToyCar"] = _ids(1, 2, 3, 4) if dev else _ids(5, 6, 7)
        sections["ToyConveyor"] = _ids(1, 2, 3) if dev else _ids(4, 5, 6)
        return sections
    if year in (2021, 2022):
        machines = _MIMII_DUE if year == 2021 else _MIMII_DG
        return dict.fromkeys(sorted(machines), _sections(0, 1, 2) if dev else _sections(3, 4, 5))
    if year == 2023:
        return dict.fromkeys(sorted(_MIMII_DG if dev else _FIRST_SHOT), _sections(0))
    msg = f"expected a year of {YEARS}, got {year}"
    raise ValueError(msg)


def which_set(year: int, present: Mapping[str, Iterable[str]]) -> SetName | None:
    """Name the set that all the given machines and sections belong to; None if there is none."""
    names: tuple[SetName, ...] = ("dev", "eval")
    for name in names:
        official = official_set(year, name)
        if present and all(set(s) <= set(official.get(m, ())) for m, s in present.items()):
            return name
    return None


def in_official_order(year: int, machines: Iterable[str]) -> list[str]:
    """Machine types as the organisers list them: 2020 in its own order, else sorted."""
    order = {machine: place for place, machine in enumerate(official_set(year, "eval"))}
    if year != 2020:
        return sorted(machines)
    return sorted(machines, key=lambda machine: (order.get(machine, len(order)), machine))
