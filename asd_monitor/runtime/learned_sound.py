"""Describe the sound that a machine's model was learned from, for its page."""

from asd_monitor.runtime.machine_addition import RunningMachines
from asd_monitor.web.learned_sound import LearnedSound


def find_learned_sound(machines: RunningMachines, machine: str) -> LearnedSound | None:
    """Return what limits the model that a machine is scored with; None while it has none."""
    from asd_monitor.quickstart.recording_check import TRAINING_KEY, findings_of

    detector = machines.builder.monitor.detector(machine)
    settings = machines.config.machines.get(machine)
    if detector is None or settings is None:
        return None
    acceptable = machines.config.alarm_of(machine).false_alarms_per_month
    return LearnedSound(
        is_checked=TRAINING_KEY in detector.manifest.training,
        findings=tuple(findings_of(detector.manifest)),
        support=detector.rule(machine).describe_support(acceptable),
    )
