"""Machine types of later challenges, which are recognised and refused."""

LATER_MACHINES: dict[str, int] = {
    **dict.fromkeys(
        [
            "3DPrinter",
            "AirCompressor",
            "BrushlessMotor",
            "HairDryer",
            "HoveringDrone",
            "RoboticArm",
            "Scanner",
            "ToothBrush",
            "ToyCircuit",
        ],
        2024,
    ),
    **dict.fromkeys(
        [
            "AutoTrash",
            "BandSealer",
            "CoffeeGrinder",
            "HomeCamera",
            "Polisher",
            "ScrewFeeder",
            "ToyPet",
            "ToyRCCar",
        ],
        2025,
    ),
    **dict.fromkeys(["BlowerDustCollector", "Sander", "SewingMachine"], 2026),
}
"""First challenge that has a machine type, by its official spelling."""

SUPPLEMENTAL_FOLDER = "supplemental"
"""Folder next to ``train`` with clean sound of the machine or noise, in lower case."""
SUPPLEMENTAL_YEAR = 2025
