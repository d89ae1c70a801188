"""The quick-start detector: fitted in seconds on minutes of normal sound of one machine.

It needs no labels, no other machines and no gradient descent. The fitted detector is exported as
a TorchScript module like any other model.
"""

from asd_monitor.quickstart.fit import Fitted, fit, fit_many
from asd_monitor.quickstart.training_windows import Recording

__all__ = ["Fitted", "Recording", "fit", "fit_many"]
