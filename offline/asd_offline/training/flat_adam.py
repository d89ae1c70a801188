"""Adam over all weights of a network as one stretch of memory.

A small network's step is so short that going through its weights one by one takes as long as the
arithmetic. The numbers are those of torch's Adam, and so is what a checkpoint holds: either can go
on from the other's.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

_MOMENTS = ("exp_avg", "exp_avg_sq")


class FlatAdam(torch.optim.Adam):
    """Adam, or AdamW with ``decoupled_weight_decay``, for weights of one type on a CPU.

    The weights are moved into one tensor and become views of it, and so do their gradients, which
    are always there.
    """

    def __init__(self, weights: Iterable[nn.Parameter], **settings: Any) -> None:  # noqa: ANN401
        self._weights = list(weights)
        super().__init__(self._weights, **settings)
        self._flat = nn.Parameter(torch.cat([each.detach().flatten() for each in self._weights]))
        self._flat.grad = torch.zeros_like(self._flat)
        self._whole = torch.optim.Adam([self._flat], **settings)
        self._whole.state[self._flat] = {
            "step": torch.zeros((), dtype=torch.float32),
            **{name: torch.zeros_like(self._flat, requires_grad=False) for name in _MOMENTS},
        }
        values, gradients = self._views(self._flat.detach()), self._views(self._flat.grad)
        for each, value, gradient in zip(self._weights, values, gradients, strict=True):
            each.data, each.grad = value, gradient
        self._share()

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Change the weights by their gradients."""
        loss = None if closure is None else closure()
        settings = {name: value for name, value in self.param_groups[0].items() if name != "params"}
        self._whole.param_groups[0].update(settings)
        self._whole.step()
        return loss

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set gradients to zero; they stay where they are."""
        del set_to_none
        if self._flat.grad is not None:
            self._flat.grad.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return what torch's Adam would: each weight has a count of steps of its own."""
        found = super().state_dict()
        states = found["state"].items()
        found["state"] = {index: each | {"step": each["step"].clone()} for index, each in states}
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state of this or of torch's Adam."""
        super().load_state_dict(state_dict)
        whole, found = self._whole.state[self._flat], [self.state[each] for each in self._weights]
        for name in _MOMENTS:
            whole[name].copy_(torch.cat([each[name].flatten() for each in found]))
        whole["step"].copy_(found[0]["step"])
        self._share()

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, [each.numel() for each in self._weights])
        return [part.view_as(each) for part, each in zip(parts, self._weights, strict=True)]

    def _share(self) -> None:
        """Let the state of single weights be views of the whole one."""
        whole = self._whole.state[self._flat]
        moments = zip(*(self._views(whole[name]) for name in _MOMENTS), strict=True)
        for each, pair in zip(self._weights, moments, strict=True):
            self.state[each] = {
                "step": whole["step"],
                **dict(zip(_MOMENTS, pair, strict=True)),
            }
