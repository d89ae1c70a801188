"""What a torch module computes for a window, as a graph that onnxruntime runs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.model_file import script
from asd_monitor.onnx.builder import NotConvertibleError
from asd_monitor.onnx.check import check
from asd_monitor.onnx.protobuf import decode, encode
from asd_monitor.onnx.recording import record
from asd_monitor.onnx.session import BoundGraph, Weights

SAMPLES = 2400
Method = Callable[[Tensor, Tensor], Tensor]


def run_both(method: Method, shape: tuple[int, ...] = (SAMPLES,), target: int = 0) -> float:
    """Return the largest difference of the graph from torch, relative to the largest value."""
    graph = record(method, shape, target)
    check(graph, {})
    assert decode(encode(graph)) == graph
    window = (0.3 * np.random.default_rng(1).standard_normal((1, *shape))).astype(np.float32)
    with torch.no_grad():
        expected = method(torch.from_numpy(window), torch.tensor([target])).numpy()
    found = BoundGraph(graph, Weights(lambda _: b"")).run(window)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def frames(waveform: Tensor, size: int, step: int) -> Tensor:
    return waveform.unfold(1, size, step) * torch.hann_window(size)


def seeded(module: nn.Module) -> nn.Module:
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(0.5 + 0.4 * torch.rand(tensor.shape, generator=random))
    return module.eval()


def stft(waveform: Tensor, _: Tensor) -> Tensor:
    window = torch.hann_window(256)
    spectrum = torch.stft(waveform, 256, 100, window=window, return_complex=True)
    return spectrum.abs().pow(2).clamp_min(1e-2).log10()


def put_into_zeros(waveform: Tensor, _: Tensor) -> Tensor:
    """Add overlapping windows in place, through views of a constant."""
    total = torch.zeros(1, 60)
    for start in (0, 20, 30):
        total[:, start : start + 30] += waveform[:, start : start + 30]
    total[:, 3] = waveform[:, 100]
    return total.view(1, 6, 10).transpose(1, 2)


def scatter_rows(waveform: Tensor, target: Tensor) -> Tensor:
    scores = torch.zeros(1)
    for index in range(3):
        rows = torch.nonzero(target == index).flatten()
        if rows.numel() > 0:
            scores[rows] = waveform[rows].square().mean(1) * (index + 1.0)
    return scores


def attend(waveform: Tensor, _: Tensor) -> Tensor:
    heads = waveform.view(1, 4, 60, 10)
    return F.scaled_dot_product_attention(heads, heads.flip(2), heads.square())


METHODS: dict[str, Method] = {
    "spectrum, one matrix": lambda w, t: torch.fft.rfft(frames(w, 60, 25)).abs(),
    "spectrum, two steps": lambda w, t: torch.fft.rfft(frames(w, 1024, 512)).abs(),
    "spectrum, first bins": lambda w, t: torch.fft.rfft(frames(w, 1024, 333))[..., :200].abs(),
    "spectrum of a prime length": lambda w, t: torch.fft.rfft(frames(w, 997, 400)).abs(),
    "spectrum of the whole window": lambda w, t: torch.fft.rfft(w).real,
    "spectrum over rows": lambda w, t: torch.fft.rfft(w.view(1, 800, 3), dim=1).abs(),
    "padded spectrum": lambda w, t: torch.view_as_real(torch.fft.rfft(w, 3000)).square().sum(-1),
    "stft": stft,
    "views of a constant": put_into_zeros,
    "rows of one target": scatter_rows,
    "attention": attend,
    "sorted": lambda w, t: w.view(1, 40, 60).sort(dim=2, descending=True).values[:, ::2, 1:7],
    "nearest": lambda w, t: w.view(40, 60).topk(3, dim=0, largest=False)[0].mean(0),
    "quantile": lambda w, t: (
        w.view(40, 60).kthvalue(11, dim=1)[0]
        + w.view(40, 60).kthvalue(3, dim=0, keepdim=True)[0][0, :40]
    ),
    "gathered": lambda w, t: w.gather(1, w.view(1, -1)[:, :50].argsort(dim=1)),
    "statistics": lambda w, t: torch.stack([w.std(1), w.var(1), w.norm(dim=1), w.logsumexp(1)]),
    "accumulated": lambda w, t: F.pad(w.view(1, 8, 300).cumsum(1).cumsum(2), (1, 0, 2, 0)),
    "activations": lambda w, t: F.gelu(w) + F.silu(w) + F.elu(w) + F.leaky_relu(w) + F.softplus(w),
    "compared": lambda w, t: torch.where(w > 0.1, w, -w).masked_fill(w < -0.5, 3.0),
    "in place": lambda w, t: w.clone().relu_().add_(1.0).mul_(2.0).clamp_(1.5, 3.0),
    "of a constant": lambda w, t: torch.ones(1, 4).index_add_(1, torch.tensor([1, 3]), w[:, :2]),
}
LAYERS: dict[str, nn.Module] = {
    "dense": nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 3)),
    "image": nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.PReLU(4),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2),
        nn.ReLU6(),
        nn.AvgPool2d(2),
        nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1),
        nn.Softmax(dim=1),
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_graph_computes_what_torch_computes(name: str) -> None:
    assert run_both(METHODS[name]) < 3e-6


@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_what_torch_computes(name: str) -> None:
    layers = seeded(LAYERS[name])

    def method(waveform: Tensor, target: Tensor) -> Tensor:
        rows = waveform.view(1, 1, 80, 30) if name == "image" else waveform.view(1, 80, 30)
        result: Tensor = layers(rows)
        return result

    assert run_both(method) < 3e-6


@pytest.mark.parametrize("target", [0, 1, 2])
def test_each_target_has_a_graph_of_its_own(target: int) -> None:
    assert run_both(scatter_rows, target=target) < 1e-6


def test_windows_may_have_several_channels() -> None:
    assert run_both(lambda w, t: w[:, 0].square().mean(1) - w[:, 1].abs().mean(1), (2, 600)) < 1e-6


class Scripted(nn.Module):
    """Loops and conditions that TorchScript keeps."""

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return a sum over a number of parts that depends on the shape."""
        total = torch.zeros(waveform.shape[0])
        for part in range(waveform.shape[1] // 1000):
            if part % 2 == 0:
                total += waveform[:, part * 1000 : (part + 1) * 1000].square().sum(1)
        return total


def test_compiled_modules_are_recorded_too() -> None:
    assert run_both(script(Scripted()).forward) < 1e-6


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (lambda w, t: w.mean(1) * 2 if bool(w.mean() > 0) else w.mean(1), "is_nonzero|_local_sca"),
        (lambda w, t: w[w > 0].mean()[None], "nonzero|the shape of a tensor depends on the sound"),
        (lambda w, t: torch.zeros(1), "does not depend on the sound"),
        (lambda w, t: torch.fft.ifft(torch.fft.fft(w)).real, "another transform"),
        (lambda w, t: torch.linalg.inv(w[:, :100].view(1, 10, 10))[0], "linalg_inv"),
    ],
)
def test_what_no_graph_can_do_is_named(method: Method, reason: str) -> None:
    with pytest.raises(NotConvertibleError, match=reason):
        record(method, (SAMPLES,), 0)


def test_a_view_is_not_used_after_a_change_of_another_one() -> None:
    def method(waveform: Tensor, _: Tensor) -> Tensor:
        copied = waveform.clone()
        first, second = copied[:, :100], copied[:, 50:150]
        first.mul_(2.0)
        return second.sum(1)

    with pytest.raises(NotConvertibleError, match="after a change of another view"):
        record(method, (SAMPLES,), 0)
