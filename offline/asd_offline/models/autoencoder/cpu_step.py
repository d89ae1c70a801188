"""Loss and gradients of the dense autoencoder on a CPU, by hand, with products in bfloat16.

The same mathematics as the layers one after the other, arranged for a CPU:

- Weights, statistics, residual, loss and gradients are as precise as the weights are; copies of
  the weights and the hidden activations are rounded, and so is what goes into and comes out of a
  product (which adds in float32).
- Hidden activations lie as ``(width, vectors)``, so that batch normalisation goes along the memory.
- What is the same for all vectors is taken away by a batch normalisation. So the batch's mean is
  taken off the vectors before they are rounded (levels of -40 dB would leave few digits to their
  differences), and it and the biases of hidden layers, whose gradients are zero, are added to the
  running means alone.
- Nothing is recorded for autograd, whose calls would take a tenth of the time.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_norm_backward = torch.ops.aten.native_group_norm_backward.default
_relu_backward = torch.ops.aten.threshold_backward.default


def cpu_has_bfloat16() -> bool:
    """Whether products in bfloat16 are quicker here than in float32 (x86 with AVX-512 BF16)."""
    ask = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch
    return ask is not None and bool(ask().get("avx512_bf16", False))


class DenseStep:
    """Computes loss and gradients of one batch after the other.

    Parameters
    ----------
    autoencoder
        Linear layers, all but the last followed by batch normalisation and ReLU. Its weights must
        stay where they are. Running statistics move into tensors of all layers.
    precision
        Of products and activations.
    """

    def __init__(self, autoencoder: nn.Module, precision: torch.dtype = torch.bfloat16) -> None:
        layers = [each for each in autoencoder.modules() if isinstance(each, nn.Linear)]
        norms = [each for each in autoencoder.modules() if isinstance(each, nn.BatchNorm1d)]
        self.precision, self._eps, self._momentum = precision, norms[0].eps, norms[0].momentum or 0
        self._weights = [each.weight.detach() for each in layers]
        self._rounded = [torch.empty_like(each, dtype=precision) for each in self._weights]
        self._scales = [each.weight.detach() for each in norms]
        self._shifts = [each.bias.detach() for each in norms]
        *self._hidden_biases, self._bias = [each.bias.detach() for each in layers]
        self._mean, self._variance, self._counts = (
            _joined(norms, name) for name in ("running_mean", "running_var", "num_batches_tracked")
        )
        for each in autoencoder.parameters():
            if each.grad is None:
                each.grad = torch.zeros_like(each)
        learned = [each.weight for each in layers]
        learned += [each.weight for each in norms] + [each.bias for each in norms]
        grads = [each.grad for each in (*learned, layers[-1].bias)]
        self._gradients = [each for each in grads if each is not None]

    @torch.no_grad()
    def __call__(self, vectors: Tensor) -> Tensor:
        """Return the mean squared error of ``(vectors, dims)``, at least two.

        Gradients are written into ``.grad`` of the weights, over what was there, and running
        statistics are updated.

        Raises
        ------
        ValueError
            If there are fewer.
        """
        count = len(vectors)
        if count < 2:
            raise ValueError(f"expected at least two vectors, found {count}")
        torch._foreach_copy_(self._rounded, self._weights)
        centre = vectors.mean(0)
        hidden = [(vectors - centre).to(self.precision).t()]
        sums, means, rates = [], [], []  # before each normalisation; 1 / standard deviation
        for weight, scale, shift in zip(self._rounded, self._scales, self._shifts, strict=False):
            total = torch.mm(weight, hidden[-1])
            width = len(total)
            # A group of one channel, over all vectors: batch normalisation.
            normal, mean, rate = torch.native_group_norm(
                total, scale, shift, 1, width, count, width, self._eps
            )
            hidden.append(normal.relu_())
            sums.append(total)
            means.append(mean)
            rates.append(rate)
        first, *others = self._hidden_biases
        mean = torch.cat(means, 1)[0] + torch.cat([first + self._weights[0] @ centre, *others])
        self._update(mean, torch.cat(rates, 1)[0], count)
        residual = torch.mm(hidden[-1].t(), self._rounded[-1].t()).to(vectors.dtype)
        flat = residual.sub_(vectors).add_(self._bias).view(-1)
        loss = torch.dot(flat, flat) / len(flat)
        flat.mul_(2 / len(flat))
        self._backward(residual, hidden, sums, means, rates)
        return loss

    def _update(self, mean: Tensor, rate: Tensor, count: int) -> None:
        """Move running statistics towards those of a batch."""
        variance = rate.pow(-2).sub_(self._eps).mul_(count / (count - 1))
        self._mean.lerp_(mean, self._momentum)
        self._variance.lerp_(variance, self._momentum)
        self._counts.add_(1)

    def _backward(
        self,
        residual: Tensor,
        hidden: list[Tensor],
        sums: list[Tensor],
        means: list[Tensor],
        rates: list[Tensor],
    ) -> None:
        """Write gradients; ``residual`` ``(vectors, dims)`` is the loss's by what was rebuilt."""
        count, depth = len(residual), len(sums)
        arriving = residual.to(self.precision).t()
        weights, scales, shifts = [torch.mm(arriving, hidden[-1].t())], [], []
        for index in reversed(range(depth)):
            arriving = torch.mm(self._rounded[index + 1].t(), arriving)
            arriving = _relu_backward(arriving, hidden[index + 1], 0)
            width = len(arriving)
            arriving, scale, shift = _norm_backward(
                arriving, sums[index], means[index], rates[index], self._scales[index],
                1, width, count, width, (True, True, True),
            )  # fmt: skip
            weights.append(torch.mm(arriving, hidden[index].t()))
            scales.append(scale)
            shifts.append(shift)
        found = [*weights[::-1], *scales[::-1], *shifts[::-1], residual.sum(0)]
        torch._foreach_copy_(self._gradients, found)


def _joined(norms: Iterable[nn.BatchNorm1d], name: str) -> Tensor:
    """Move a buffer of all layers into one tensor, of which theirs become views."""
    buffers = [getattr(each, name) for each in norms]
    whole = torch.cat([each.flatten() for each in buffers])
    parts = torch.split(whole, [each.numel() for each in buffers])
    for norm, part, buffer in zip(norms, parts, buffers, strict=True):
        setattr(norm, name, part.view_as(buffer))
    return whole
