"""Sub-cluster AdaCos, mixup and feature exchange equal the definitions of their papers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from asd_offline.models.adacos.losses import (
    EmbeddingLoss,
    FeatureExchange,
    SubClusterAdaCos,
    exchange_features,
    mixup,
    sample_exchange,
)

sizes = st.tuples(
    st.integers(1, 6), st.integers(2, 9), st.integers(2, 5), st.integers(1, 4), st.integers(0, 99)
).filter(lambda size: size[2] * size[3] >= 3)


def one_hot(classes: Tensor, count: int) -> Tensor:
    return F.one_hot(classes, count).float()


def random_case(
    batch: int, dims: int, classes: int, centres: int, seed: int
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    embeddings = torch.randn(batch, dims, generator=generator)
    labels = torch.rand(batch, classes, generator=generator)
    return embeddings, labels / labels.sum(1, keepdim=True)


@settings(deadline=None, max_examples=15)
@given(sizes)
def test_the_loss_equals_its_definition(size: tuple[int, int, int, int, int]) -> None:
    """The loss is -sum_c y_c log(sum_j exp(s cos) / sum of all), computed here in loops."""
    batch, dims, classes, centres, _ = size
    embeddings, labels = random_case(*size)
    loss = SubClusterAdaCos(dims, classes, centres)
    expected = 0.0
    for x, y in zip(embeddings.double(), labels.double(), strict=True):
        exponentials = torch.zeros(classes, centres, dtype=torch.float64)
        for c in range(classes):
            for j in range(centres):
                w = loss.centres.detach()[c * centres + j].double()
                cosine = float(x @ w / (x.norm() * w.norm()))
                exponentials[c, j] = math.exp(float(loss.scale) * cosine)
        shares = exponentials.sum(1) / exponentials.sum()
        expected -= float((y * shares.log()).sum()) / batch
    assert loss(embeddings, labels).item() == pytest.approx(expected, rel=1e-4)


def test_with_one_centre_per_class_the_loss_is_cross_entropy_of_scaled_cosines() -> None:
    embeddings, _ = random_case(8, 6, 5, 1, 3)
    classes = torch.arange(8) % 5
    loss = SubClusterAdaCos(6, 5, 1)
    cosines = F.normalize(embeddings) @ F.normalize(loss.centres).t()
    expected = F.cross_entropy(math.sqrt(2) * math.log(4) * cosines, classes)
    torch.testing.assert_close(loss(embeddings, one_hot(classes, 5)), expected)


@settings(deadline=None, max_examples=15)
@given(sizes)
def test_the_order_of_rows_classes_and_centres_does_not_matter(
    size: tuple[int, int, int, int, int],
) -> None:
    batch, dims, classes, centres, _ = size
    embeddings, labels = random_case(*size)
    loss = SubClusterAdaCos(dims, classes, centres)
    before = loss(embeddings, labels)
    rows, order = torch.randperm(batch), torch.randperm(classes)
    torch.testing.assert_close(loss(embeddings[rows], labels[rows]), before)
    with torch.no_grad():
        grid = loss.centres.view(classes, centres, dims)[order][:, torch.randperm(centres)]
        loss.centres.copy_(grid.reshape(-1, dims))
    torch.testing.assert_close(loss(embeddings, labels[:, order]), before)


def test_the_length_of_embeddings_and_centres_does_not_matter() -> None:
    embeddings, labels = random_case(5, 4, 3, 2, 0)
    loss = SubClusterAdaCos(4, 3, 2)
    before = loss(embeddings, labels)
    with torch.no_grad():
        loss.centres.mul_(torch.rand(6, 1) + 0.5)
    torch.testing.assert_close(loss(7.0 * embeddings, labels), before)


def test_the_loss_of_mixed_labels_is_the_weighted_sum_of_losses() -> None:
    embeddings, _ = random_case(1, 4, 3, 2, 1)
    loss = SubClusterAdaCos(4, 3, 2)
    single = [loss(embeddings, one_hot(torch.tensor([c]), 3)) for c in range(3)]
    mixed = loss(embeddings, torch.tensor([[0.2, 0.5, 0.3]]))
    torch.testing.assert_close(mixed, 0.2 * single[0] + 0.5 * single[1] + 0.3 * single[2])


def test_the_gradient_reaches_trainable_centres_of_every_class() -> None:
    embeddings, labels = random_case(6, 4, 3, 2, 2)
    loss = SubClusterAdaCos(4, 3, 2)
    loss(embeddings, labels).backward()
    assert loss.centres.grad is not None
    assert (loss.centres.grad.norm(dim=1) > 0).all()


def test_fixed_centres_are_in_the_checkpoint_but_not_trained() -> None:
    loss = SubClusterAdaCos(4, 3, 2, trainable=False)
    assert not list(loss.parameters())
    assert "centres" in loss.state_dict()


def test_the_fixed_scale_follows_from_the_number_of_centres() -> None:
    assert float(SubClusterAdaCos(4, 10, 16).scale) == pytest.approx(
        math.sqrt(2) * math.log(10 * 16 - 1)
    )


def test_the_dynamic_scale_equals_the_papers_and_is_constant_in_evaluation() -> None:
    embeddings, _ = random_case(7, 4, 3, 2, 5)
    labels = one_hot(torch.arange(7) % 3, 3)
    loss = SubClusterAdaCos(4, 3, 2, dynamic_scale=True)
    initial = float(loss.scale)
    assert initial == pytest.approx(math.sqrt(2) * math.log(5))
    cosines = F.normalize(embeddings) @ F.normalize(loss.centres.detach()).t()
    mean = float((initial * cosines).exp().sum(1).mean())
    angles = [max(cosines[i, 2 * (i % 3)], cosines[i, 2 * (i % 3) + 1]).acos() for i in range(7)]
    angle = min(math.pi / 4, float(torch.stack(angles).median()))
    loss.eval()(embeddings, labels)
    assert float(loss.scale) == initial
    loss.train()(embeddings, labels)
    assert float(loss.scale) == pytest.approx(math.log(mean) / math.cos(angle), rel=1e-5)


@pytest.mark.parametrize(("classes", "centres"), [(1, 16), (2, 1), (0, 3), (3, 0)])
def test_too_few_classes_are_refused(classes: int, centres: int) -> None:
    with pytest.raises(ValueError, match="at least 2 classes, and 3 centres"):
        SubClusterAdaCos(4, classes, centres)


def test_mixup_mixes_labels_like_waveforms() -> None:
    # With the label as the waveform, both are mixed the same.
    labels = one_hot(torch.arange(40) % 5, 5)
    mixed, mixed_labels = mixup(labels, labels, 0.5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(mixed, mixed_labels)
    torch.testing.assert_close(mixed_labels.sum(1), torch.ones(40))
    unchanged = (mixed_labels == labels).all(1)
    assert 10 < int(unchanged.sum()) < 32  # half, and some partners of the same class


def test_mixup_with_probability_zero_changes_nothing() -> None:
    waveforms, labels = torch.randn(6, 50), one_hot(torch.arange(6), 6)
    mixed, mixed_labels = mixup(waveforms, labels, 0.0)
    assert torch.equal(mixed, waveforms)
    assert torch.equal(mixed_labels, labels)


def test_extended_labels_identify_the_row_of_each_branch() -> None:
    # With the label as the embedding, each branch shows which row it comes from.
    labels = one_hot(torch.arange(30), 30)
    exchange = sample_exchange(30, 3, 0.5, torch.Generator().manual_seed(0))
    branches, extended = exchange_features([labels, 2 * labels, 3 * labels], labels, exchange)
    parts = extended.view(30, 4, 30)
    torch.testing.assert_close(extended.sum(1), torch.ones(30))
    rows = exchange.exchanged.flatten()
    assert 5 < int(rows.sum()) < 25
    assert torch.equal(parts[~rows, 0], labels[~rows])
    assert not parts[rows, 0].any()
    assert torch.equal(branches[0], labels)
    for number, branch in enumerate(branches, start=1):
        torch.testing.assert_close(parts[rows, number], branch[rows] / number / 3)
        assert torch.equal(branch[~rows], number * labels[~rows])
    moved = [(branch / k != labels).any(1)[rows].sum() for k, branch in enumerate(branches, 1)]
    assert moved[0] == 0
    assert moved[1] > 0
    assert not torch.equal(branches[1] / 2, branches[2] / 3)


def test_every_part_of_the_joint_loss_counts_and_is_trained() -> None:
    generator = torch.Generator().manual_seed(0)
    branches = [torch.randn(8, 4, generator=generator) for _ in range(2)]
    labels = one_hot(torch.arange(8) % 3, 3)
    every_row = torch.ones(8, 1, dtype=torch.bool)
    exchange = FeatureExchange(every_row, torch.stack([torch.arange(8)] * 2))
    joint = EmbeddingLoss([4, 4], 3, 2, feature_exchange=True, subspace=True)
    loss = joint(branches, labels, exchange)
    expected = joint.joined(torch.cat(branches, 1), labels)
    for head, branch in zip(joint.single, branches, strict=True):
        expected = expected + head(branch, labels)
    extended = torch.cat([torch.zeros(8, 3), labels / 2, labels / 2], 1)
    assert joint.exchanged is not None
    expected = expected + joint.exchanged(torch.cat(branches, 1), extended)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    for parameter in joint.parameters():
        assert parameter.grad is not None
        assert parameter.grad.any()
