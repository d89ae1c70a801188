"""Results of the organisers' baselines on the evaluation sets, as their evaluators publish them.

From the READMEs of nttcslab/dcase2024_task2_evaluator to dcase2026_task2_evaluator, seed 13711: AUC
(source), AUC (target) and pAUC of each machine in %, and the official score.
"""

Row = tuple[float, float, float]

MSE: dict[int, tuple[float, dict[str, Row]]] = {
    2024: (
        56.508,
        {
            "3DPrinter": (79.12, 47.96, 49.42),
            "AirCompressor": (65.00, 48.24, 55.47),
            "BrushlessMotor": (70.70, 63.52, 55.58),
            "HairDryer": (62.24, 45.98, 51.63),
            "HoveringDrone": (86.02, 43.88, 50.21),
            "RoboticArm": (65.96, 41.52, 51.16),
            "Scanner": (69.16, 53.74, 50.11),
            "ToothBrush": (75.04, 69.48, 52.74),
            "ToyCircuit": (76.58, 52.66, 50.00),
        },
    ),
    2025: (
        54.428,
        {
            "AutoTrash": (81.02, 34.36, 54.21),
            "BandSealer": (71.98, 39.56, 52.05),
            "CoffeeGrinder": (73.04, 44.36, 53.42),
            "HomeCamera": (81.40, 49.76, 52.84),
            "Polisher": (66.86, 44.30, 52.32),
            "ScrewFeeder": (64.86, 65.92, 62.11),
            "ToyPet": (67.70, 36.70, 55.00),
            "ToyRCCar": (52.84, 62.72, 55.53),
        },
    ),
    2026: (
        59.803,
        {
            "BlowerDustCollector": (69.48, 88.38, 61.79),
            "Sander": (67.14, 44.02, 50.89),
            "SewingMachine": (64.84, 61.42, 58.11),
            "ToothBrush": (59.02, 64.34, 59.79),
            "ToyDrone": (71.26, 46.80, 55.11),
        },
    ),
}
MAHALANOBIS: dict[int, tuple[float, dict[str, Row]]] = {
    2024: (
        56.489,
        {
            "3DPrinter": (75.44, 42.40, 50.84),
            "AirCompressor": (66.10, 55.50, 60.79),
            "BrushlessMotor": (80.32, 73.38, 59.05),
            "HairDryer": (60.60, 58.98, 55.11),
            "HoveringDrone": (83.88, 46.40, 58.00),
            "RoboticArm": (58.34, 42.50, 51.79),
            "Scanner": (56.84, 55.50, 49.26),
            "ToothBrush": (65.56, 57.90, 48.37),
            "ToyCircuit": (67.94, 44.64, 49.21),
        },
    ),
    2025: (
        56.506,
        {
            "AutoTrash": (77.26, 52.60, 54.16),
            "BandSealer": (76.38, 32.68, 49.11),
            "CoffeeGrinder": (74.98, 40.42, 51.42),
            "HomeCamera": (86.16, 42.64, 51.84),
            "Polisher": (70.42, 52.78, 53.79),
            "ScrewFeeder": (72.90, 79.04, 70.05),
            "ToyPet": (69.82, 50.90, 56.84),
            "ToyRCCar": (55.86, 55.48, 54.00),
        },
    ),
    2026: (
        54.763,
        {
            "BlowerDustCollector": (67.66, 87.20, 63.89),
            "Sander": (69.80, 45.10, 49.47),
            "SewingMachine": (60.34, 43.76, 50.58),
            "ToothBrush": (43.98, 39.40, 52.79),
            "ToyDrone": (72.76, 54.28, 59.26),
        },
    ),
}
