"""The quick-start detector: fitted in seconds from minutes of normal sound of one machine.

No labels, no other machines, no training by gradients. The fitted detector is exported as a
TorchScript module like any other model.
"""

from asd_monitor.quickstart.fit import Fitted, fit, fit_many
from asd_monitor.quickstart.training_windows import Recording

__all__ = ["Fitted", "Recording", "fit", "fit_many"]
