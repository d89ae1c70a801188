"""Layouts of datasets on disk: one file per DCASE challenge, and those of your own recordings.

To add a year, write ``dcase20XX.py`` here and in ``asd_offline/evaluation/rules/``, and add a line
to :data:`CHALLENGES` and to ``RULES``.
"""

from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.layouts.dcase2020 import DCASE2020
from asd_offline.datasets.layouts.dcase2021 import DCASE2021
from asd_offline.datasets.layouts.dcase2022 import DCASE2022
from asd_offline.datasets.layouts.dcase2023 import DCASE2023
from asd_offline.datasets.layouts.dcase2024 import DCASE2024
from asd_offline.datasets.layouts.dcase2025 import DCASE2025
from asd_offline.datasets.layouts.dcase2026 import DCASE2026

CHALLENGES: dict[int, Challenge] = {
    2020: DCASE2020,
    2021: DCASE2021,
    2022: DCASE2022,
    2023: DCASE2023,
    2024: DCASE2024,
    2025: DCASE2025,
    2026: DCASE2026,
}
"""Challenges that can be read, downloaded and generated, by year."""
