"""Small official layouts: empty files with the names of the archives' contents."""

from collections.abc import Iterable
from pathlib import Path

from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.layout_detection import machine_name

NUMBERS = range(2)


def touch(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def dev_2020(root: Path, machine: str = "fan", ids: Iterable[str] = ("00", "02")) -> Path:
    for machine_id in ids:
        touch(root / machine / "train", (f"normal_id_{machine_id}_{n:08d}.wav" for n in NUMBERS))
        touch(
            root / machine / "test",
            (
                f"{word}_id_{machine_id}_{n:08d}.wav"
                for word in ("normal", "anomaly")
                for n in NUMBERS
            ),
        )
    return root


def eval_2020(root: Path, machine: str = "fan", ids: Iterable[str] = ("01", "03")) -> Path:
    for machine_id in ids:
        touch(root / machine / "train", (f"normal_id_{machine_id}_{n:08d}.wav" for n in NUMBERS))
        touch(root / machine / "test", (f"id_{machine_id}_{n:08d}.wav" for n in NUMBERS))
    return root


def dev_2021(root: Path, machine: str = "pump", sections: Iterable[str] = ("00", "01")) -> Path:
    for section in sections:
        for domain in ("source", "target"):
            stem = f"section_{section}_{domain}"
            touch(
                root / machine / "train",
                (f"{stem}_train_normal_{n:04d}_strength_1_ambient.wav" for n in NUMBERS),
            )
            touch(
                root / machine / f"{domain}_test",
                (f"{stem}_test_{w}_{n:04d}.wav" for w in ("normal", "anomaly") for n in NUMBERS),
            )
    return root


def eval_2021(root: Path, machine: str = "pump", sections: Iterable[str] = ("03", "04")) -> Path:
    for section in sections:
        for domain in ("source", "target"):
            stem = f"section_{section}_{domain}"
            touch(root / machine / "train", (f"{stem}_train_normal_{n:04d}_A.wav" for n in NUMBERS))
            touch(root / machine / f"{domain}_test", (f"{stem}_test_{n:04d}.wav" for n in NUMBERS))
    return root


def dev_2022(root: Path, machine: str = "fan", sections: Iterable[str] = ("00", "01")) -> Path:
    for section in sections:
        rows = []
        for domain in ("source", "target"):
            stem = f"section_{section}_{domain}"
            train = [f"{stem}_train_normal_{n:04d}_spd_6.wav" for n in NUMBERS]
            test = [
                f"{stem}_test_{w}_{n:04d}_spd_6.wav" for w in ("normal", "anomaly") for n in NUMBERS
            ]
            touch(root / machine / "train", train)
            touch(root / machine / "test", test)
            rows += [f"{machine}/train/{name},speed,6" for name in train]
            rows += [f"{machine}/test/{name},speed,6" for name in test]
        write_attributes(root / machine, section, rows)
    return root


def eval_2022(root: Path, machine: str = "fan", sections: Iterable[str] = ("03", "04")) -> Path:
    for section in sections:
        stem = f"section_{section}"
        train = [f"{stem}_source_train_normal_{n:04d}_spd_6.wav" for n in NUMBERS]
        touch(root / machine / "train", train)
        touch(root / machine / "test", (f"{stem}_{n:04d}.wav" for n in NUMBERS))
        write_attributes(
            root / machine, section, [f"{machine}/train/{name},speed,6" for name in train]
        )
    return root


def dev_2023(root: Path, machine: str = "slider") -> Path:
    return dev_2022(root, machine, ("00",))


def eval_2023(root: Path, machine: str = "bandsaw") -> Path:
    return eval_2022(root, machine, ("00",))


def dev_2024(root: Path, machine: str = "gearbox") -> Path:
    return _dev_with_hidden(root, machine, 2024)


def eval_2024(root: Path, machine: str = "RoboticArm") -> Path:
    return eval_2022(root, machine, ("00",))


def dev_2025(root: Path, machine: str = "bearing") -> Path:
    supplemental(root, machine)
    return _dev_with_hidden(root, machine, 2025)


def eval_2025(root: Path, machine: str = "Polisher") -> Path:
    supplemental(root, machine)
    return eval_2022(root, machine, ("00",))


def dev_2026(root: Path, machine: str = "bearingEmu") -> Path:
    return _dev_with_hidden(root, machine, 2026)


def eval_2026(root: Path, machine: str = "Sander") -> Path:
    return eval_2022(root, machine, ("00",))


def supplemental(root: Path, machine: str) -> None:
    names = ["section_00_machine_source_0000_noAttribute.wav", "section_00_noise_source_0001.wav"]
    touch(root / machine / "supplemental", names)


def _dev_with_hidden(root: Path, machine: str, year: int) -> Path:
    """Make a development set whose names have the attributes that the year shows."""
    hides = machine_name(machine) in CHALLENGES[year].hidden_attributes
    tail = "noAttribute" if hides else "spd_6"
    first = CHALLENGES[year].numbers_of(machine).first_train
    for domain in ("source", "target"):
        stem = f"section_00_{domain}"
        touch(
            root / machine / "train",
            (f"{stem}_train_normal_{first + n:04d}_{tail}.wav" for n in NUMBERS),
        )
        touch(
            root / machine / "test",
            (
                f"{stem}_test_{word}_{n:04d}_{tail}.wav"
                for word in ("normal", "anomaly")
                for n in NUMBERS
            ),
        )
    return root


def write_attributes(folder: Path, section: str, rows: Iterable[str]) -> None:
    text = "\n".join(["file_name,d1p,d1v", *rows, ""])
    (folder / f"attributes_{section}.csv").write_text(text, encoding="utf-8")


DEV = {
    2020: dev_2020,
    2021: dev_2021,
    2022: dev_2022,
    2023: dev_2023,
    2024: dev_2024,
    2025: dev_2025,
    2026: dev_2026,
}
EVAL = {
    2020: eval_2020,
    2021: eval_2021,
    2022: eval_2022,
    2023: eval_2023,
    2024: eval_2024,
    2025: eval_2025,
    2026: eval_2026,
}
