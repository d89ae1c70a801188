"""The attributes that each official year gives its clips, by machine, section and domain.

Values are those of the organisers' own attribute lists where these are public, and in their
manner elsewhere. ``vel_{5,9}`` stands for ``vel_5`` and ``vel_9``. In 2021 the names were free
text: there, what stands behind ``=`` says the same in the later years' manner.
"""

import itertools
import re
from dataclasses import dataclass

Vocabulary = dict[str, tuple[tuple[str, str], ...]]
"""Machine -> for each section in turn (attributes in the source, in the target domain)."""

YEAR_2021: Vocabulary = {
    "fan": (
        ("strength_{1,2}_ambient=n-lv_{1,2}", "strength_{3,4}_ambient=n-lv_{3,4}"),
        ("ambient_{A,B}=f-n_{A,B}", "ambient_{C,D}=f-n_{C,D}"),
        ("volt_{20,24}=volt_{20,24}", "volt_{16,28}=volt_{16,28}"),
    ),
    "gearbox": (
        (
            "0_g_25_mm_{1500,2000}_mV_none=volt_{1500,2000}",
            "0_g_25_mm_{1200,2500}_mV_none=volt_{1200,2500}",
        ),
        ("{0,50}_g_25_mm_2000_mV_none=wt_{0,50}", "{120,200}_g_25_mm_2000_mV_none=wt_{120,200}"),
        ("0_g_25_mm_2000_mV_{none,a}=f-n_{A,B}", "0_g_25_mm_2000_mV_b=f-n_D"),
    ),
    "pump": (
        ("level_{1,2}=n-lv_{1,2}", "level_{3,4}=n-lv_{3,4}"),
        ("place_{A,B}=loc_{A,B}", "place_{C,D}=loc_{C,D}"),
        ("load_{50,100}=wt_{50,100}", "load_{20,200}=wt_{20,200}"),
    ),
    "slider": (
        ("vel_{200,300}=vel_{200,300}", "vel_{120,420}=vel_{120,420}"),
        ("acc_{4,8}=wt_{40,80}", "acc_{2,16}=wt_{20,160}"),
        ("ambient_{A,B}=f-n_{A,B}", "ambient_{C,D}=f-n_{C,D}"),
    ),
    "valve": (
        ("pat_{0,1}=pat_{00,01}", "pat_{2,3}=pat_{02,03}"),
        ("panel_{open,a}=panel_{open,a}", "panel_{b,c}=panel_{b,c}"),
        ("pat_{4,5}=pat_{04,05}", "pat_{6,7}=pat_{06,07}"),
    ),
    "ToyCar": (
        (
            "A{1,2}Spd{28,31}VMic1=car_A{1,2}_spd_{28,31}_mic_1",
            "C{1,2}Spd{28,31}VMic1=car_C{1,2}_spd_{28,31}_mic_1",
        ),
        (
            "B{1,2}Spd{31,34}VMic1=car_B{1,2}_spd_{31,34}_mic_1",
            "B{1,2}Spd{28,40}VMic1=car_B{1,2}_spd_{28,40}_mic_1",
        ),
        (
            "A{1,2}Spd{28,31}VMic1=car_A{1,2}_spd_{28,31}_mic_1",
            "A{1,2}Spd{28,31}VMic2=car_A{1,2}_spd_{28,31}_mic_2",
        ),
    ),
    "ToyTrain": (
        (
            "A{1,2}Spd{6,8}Mic1=car_A{1,2}_spd_{6,8}_mic_1",
            "C{1,2}Spd{6,8}Mic1=car_C{1,2}_spd_{6,8}_mic_1",
        ),
        (
            "B{1,2}Spd{7,8}Mic1=car_B{1,2}_spd_{7,8}_mic_1",
            "B{1,2}Spd{6,10}Mic1=car_B{1,2}_spd_{6,10}_mic_1",
        ),
        (
            "A{1,2}Spd{6,8}Mic1=car_A{1,2}_spd_{6,8}_mic_1",
            "A{1,2}Spd{6,8}Mic2=car_A{1,2}_spd_{6,8}_mic_2",
        ),
    ),
}

YEAR_2022: Vocabulary = {
    "bearing": (
        ("vel_{5,9,13,17,21}", "vel_{1,3,7,11,15,19,23,25}"),
        ("vel_{8,16}_loc_{A,B,C,D}", "vel_{8,16}_loc_{E,F,G,H}"),
        ("vel_{2,10}_f-n_{A,B}", "vel_{2,10}_f-n_D"),
    ),
    "fan": (("m-n_{W,X}", "m-n_{Y,Z}"), ("f-n_{A,B}", "f-n_D"), ("n-lv_{L1,L2}", "n-lv_{L3,L4}")),
    "gearbox": (
        ("volt_{1.0,1.5,2.0,2.5,3.0}", "volt_{0.5,0.7,1.2,1.7,2.2,2.7,3.2,3.7}"),
        ("wt_{0,50,100,150,200}", "wt_{20,70,120,170,220,250}"),
        ("id_{03,06,07}", "id_{01,04,12}"),
    ),
    "slider": (
        ("vel_{100,175,250,325,400}", "vel_{25,50,140,210,290,360,440,490}"),
        ("ac_{0.03,0.05,0.07,0.09,0.11}", "ac_{0.01,0.02,0.04,0.06,0.08,0.10,0.12,0.13}"),
        ("f-n_{A,B}", "f-n_D"),
    ),
    "valve": (
        ("pat_{00,01}", "pat_{06,07}"),
        ("pat_{04,05}_panel_{open,bs-c}", "pat_{04,05}_panel_{b-c,s-c}"),
        ("v1pat_{04,05} v2pat_05", "v1pat_{04,05}_v2pat_05"),
    ),
    "ToyCar": (
        (
            "car_{F1,F2,H1,H2}_spd_{31V,34V}_mic_1_noise_6",
            "car_{G1,G2}_spd_{31V,34V}_mic_1_noise_6",
        ),
        ("car_{F1,F2}_spd_{31V,37V}_mic_1_noise_6", "car_{F1,F2}_spd_{28V,40V}_mic_1_noise_6"),
        (
            "car_{F1,F2,H1,H2}_spd_{34V,37V}_mic_1_noise_6",
            "car_{G1,G2}_spd_{28V,40V}_mic_1_noise_6",
        ),
    ),
    "ToyTrain": (
        ("car_{F1,F2,H1,H2}_spd_{7,8}_mic_1_noise_6", "car_{G1,G2}_spd_{7,8}_mic_1_noise_6"),
        ("car_{F1,F2}_spd_{7,9}_mic_1_noise_6", "car_{F1,F2}_spd_{6,10}_mic_1_noise_6"),
        ("car_{F1,F2,H1,H2}_spd_{8,9}_mic_1_noise_6", "car_{G1,G2}_spd_{6,10}_mic_1_noise_7"),
    ),
}

YEAR_2023: Vocabulary = {
    "bearing": (("vel_{5,9,13,17,21}", "vel_{1,7,15,25}"),),
    "fan": (("m-n_{W,X}", "m-n_{Y,Z}"),),
    "gearbox": (("volt_{1.0,1.5,2.0}_wt_{0,100}", "volt_{0.7,2.5}_wt_{50,200}"),),
    "slider": (("vel_{100,250,400}_ac_{0.03,0.09}", "vel_{50,490}_ac_{0.06,0.12}"),),
    "valve": (("pat_{00,01}", "pat_{06,07}"),),
    "ToyCar": (
        (
            "car_{A1,A2,B1,B2}_spd_{28V,31V}_mic_1_noise_1",
            "car_{C1,C2}_spd_{34V,40V}_mic_1_noise_1",
        ),
    ),
    "ToyTrain": (
        ("car_{A1,A2,B1,B2}_spd_{6,8}_mic_1_noise_1", "car_{C1,C2}_spd_{7,10}_mic_1_noise_1"),
    ),
    "bandsaw": (("vel_{13,15}", "vel_{12,14}"),),
    "grinder": (
        (
            "grindstone_1_plate_1 grindstone_2_plate_2 grindstone_3_plate_3",
            "grindstone_4_plate_{1,2,3}",
        ),
    ),
    "shaker": (("speed_{1000,1500}", "speed_1200"),),
    "ToyDrone": (("car_{A1,A2}_spd_3_mic_1 car_{B1,B2}_spd_2_mic_1", "car_{C1,C2}_spd_1_mic_2"),),
    "ToyNscale": (("car_{A1,A2,B1,B2}_spd_{2,3}_mic_1", "car_{C1,C2}_spd_{1,5}_mic_2"),),
    "ToyTank": (("car_{A1,A2,B1,B2}_spd_{3,4}_mic_1", "car_{C1,C2}_spd_{1,5}_mic_1"),),
    "Vacuum": (
        (
            "car_A1_spd_M_mic_1 car_A2_spd_H_mic_1 car_B1_spd_Lb_mic_1 car_B2_spd_Mb_mic_1",
            "car_C1_spd_Mb_mic_2 car_C2_spd_H_mic_2",
        ),
    ),
}

ATTRIBUTES: dict[int, Vocabulary] = {2021: YEAR_2021, 2022: YEAR_2022, 2023: YEAR_2023}


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of a clip: as its file name has them, and as keys and values."""

    text: str
    pairs: tuple[tuple[str, str], ...]


BRACES = re.compile(r"\{(.*?)\}")


def _expanded(pattern: str) -> list[str]:
    """All ways to fill in the braces; on both sides of ``=`` they are filled in together."""
    sides = pattern.split("=")
    choices = [[group.split(",") for group in BRACES.findall(side)] for side in sides]
    filled = []
    for picks in itertools.product(*(range(len(values)) for values in choices[0])):
        done = []
        for side, values in zip(sides, choices, strict=True):
            for pick, options in zip(picks, values, strict=True):
                side = BRACES.sub(options[pick], side, count=1)
            done.append(side)
        filled.append("=".join(done))
    return filled


def attributes_of(year: int, machine: str, section: int, domain: str) -> list[Attributes]:
    """Return the attributes that occur in a section and domain; one without any in 2020."""
    if year not in ATTRIBUTES:
        return [Attributes("", ())]
    sections = ATTRIBUTES[year][machine]
    patterns = sections[section % len(sections)][0 if domain == "source" else 1]
    found = []
    for pattern in patterns.split():
        for each in _expanded(pattern):
            text, _, meaning = each.partition("=")
            words = (meaning or text).split("_")
            found.append(Attributes(text, tuple(zip(words[::2], words[1::2], strict=True))))
    return found
