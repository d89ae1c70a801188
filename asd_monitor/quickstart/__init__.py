"""The quick-start detector: fitted in seconds on minutes of normal sound of one machine.

It needs no labels, no other machines and no gradient descent. The fitted detector is exported as
a TorchScript module like any other model. What fits it is imported when it is used, since it needs
torch.
"""

from typing import TYPE_CHECKING

from asd_monitor.quickstart.training_windows import Recording

if TYPE_CHECKING:
    from asd_monitor.quickstart.fitting import Fitted, fit, fit_many

__all__ = ["Fitted", "Recording", "fit", "fit_many"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from asd_monitor.quickstart import fitting

    return getattr(fitting, name)
