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
}
"""First challenge that has a machine type, by its official spelling."""
