"""Losses at their edges, against each other, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, ops
from minigrad.nn import functional as F
from minigrad.nn.adversarial import KINDS, discriminator_loss, generator_loss


def leaf(values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


# ----------------------------------------------------------------------------------- ignored labels
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"weight": mg.ones(4)}])
def test_all_labels_ignored(options):
    r"""PyTorch's NaN for the mean of nothing, without a warning, and gradients of 0."""
    x = leaf(np.ones((3, 4)), np.float32)
    target = mg.tensor([-100] * 3)
    loss = F.cross_entropy(x, target, **options)
    assert math.isnan(loss.item())
    loss.backward()
    assert not x.grad.numpy().any()
    assert F.cross_entropy(x, target, reduction="sum", **options).item() == 0
    assert F.cross_entropy(x, target, reduction="none", **options).tolist() == [0, 0, 0]


def test_ignored_places_do_not_count():
    x = leaf(np.random.default_rng(0).normal(size=(4, 3)))
    target = np.array([0, 2, 1, 2])
    for loss in (F.cross_entropy, ops.focal_loss):
        some = loss(x[:2], mg.tensor(target[:2]))
        ignored = loss(x, mg.tensor(np.array([0, 2, -100, -100])))
        assert some.item() == pytest.approx(ignored.item(), rel=1e-12)


# ----------------------------------------------------------------------------------------- extremes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_ten_thousand(dtype):
    x = leaf([[1e4, -1e4], [-1e4, 1e4]], dtype)
    classes, signs = mg.tensor([0, 0]), mg.tensor([[1, 1], [-1, -1]])
    bits = mg.tensor(np.array([[1, 1], [0, 0]], dtype))
    for loss, expected in [
        (ops.focal_loss(x, classes, reduction="none"), [0, 2e4]),
        (ops.sigmoid_focal_loss(x, bits, alpha=-1), [[0, 1e4], [0, 1e4]]),
        (F.soft_margin_loss(x, signs, "none"), [[0, 1e4], [0, 1e4]]),
        (F.multilabel_soft_margin_loss(x, bits, reduction="none"), [5e3, 5e3]),
        (F.multi_margin_loss(x, classes, reduction="none"), [0, 1e4]),
        (discriminator_loss(x, x), 1e4),
        (generator_loss(x), 5e3),
    ]:
        np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-3, atol=1e-30)
        x.grad = None
        loss.sum().backward()
        assert np.isfinite(x.grad.numpy()).all()


def test_vectors_of_length_zero():
    x, y = leaf(np.zeros((2, 3))), leaf(np.ones((2, 3)))
    for loss in (
        F.cosine_similarity(x, y),
        F.cosine_embedding_loss(x, y, mg.tensor([1, -1])),
        F.pairwise_distance(x, x),
        F.triplet_margin_loss(x, x, y),
    ):
        x.grad = None
        loss.sum().backward()
        assert np.isfinite(loss.detach().numpy()).all()
        assert np.isfinite(x.grad.numpy()).all()


# -------------------------------------------------------------------------------------------- focal
def test_focal_loss_without_focus_is_cross_entropy():
    rng = np.random.default_rng(0)
    x, target = leaf(rng.normal(size=(5, 3, 2))), mg.tensor(rng.integers(0, 3, (5, 2)))
    plain = F.cross_entropy(x, target).item()
    assert ops.focal_loss(x, target, gamma=0).item() == pytest.approx(plain, rel=1e-12)
    assert ops.focal_loss(x, target, 0.25, 0).item() == pytest.approx(plain / 4, rel=1e-12)
    assert ops.focal_loss(x, target).item() < plain


def test_both_focal_losses_agree_on_two_classes():
    rng = np.random.default_rng(0)
    z, bits = rng.normal(size=6), rng.integers(0, 2, 6)
    two = ops.focal_loss(
        leaf(np.stack([0 * z, z], 1)), mg.tensor(bits), leaf([0.75, 0.25]).detach()
    )
    one = nn.SigmoidFocalLoss()(leaf(z), mg.tensor(bits.astype(float)))
    assert one.item() == pytest.approx(two.item(), rel=1e-12)


# ----------------------------------------------------------------------------------------- capsules
def test_capsule_margin_loss_by_hand():
    lengths = leaf([[0.95, 0.05, 0.3], [0.5, 0.9, 0.0]])
    loss = nn.CapsuleMarginLoss(reduction="none")(lengths, mg.tensor([0, 0]))
    # (0.3 - 0.1)² / 2, and (0.9 - 0.5)² + (0.9 - 0.1)² / 2
    np.testing.assert_allclose(loss.detach().numpy(), [0.02, 0.16 + 0.32], rtol=1e-12)
    both = nn.CapsuleMarginLoss()(lengths, mg.tensor([[1, 0, 1], [1, 1, 0]]))
    np.testing.assert_allclose(both.item(), (0.36 + 0.16) / 2, rtol=1e-12)


# -------------------------------------------------------------------------------------- adversarial
@pytest.mark.parametrize("kind", KINDS)
def test_adversarial_losses_by_hand(kind):
    r, f = np.random.default_rng(0).normal(size=(2, 7))
    p = lambda s: 1 / (1 + np.exp(-s))  # noqa: E731
    cross = -np.log(p(r)).mean() - np.log(1 - p(f)).mean()
    discriminator, generator = {
        "minimax": (cross, np.log(1 - p(f)).mean()),
        "non_saturating": (cross, -np.log(p(f)).mean()),
        "least_squares": (((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, ((f - 1) ** 2).mean() / 2),
        "wasserstein": (f.mean() - r.mean(), -f.mean()),
        "hinge": (np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), -f.mean()),
    }[kind]
    found = discriminator_loss(leaf(r), leaf(f), kind), generator_loss(leaf(f), kind)
    np.testing.assert_allclose([v.item() for v in found], [discriminator, generator], rtol=1e-12)


def test_the_generators_gradient_does_not_vanish():
    r"""Where the discriminator is sure, minimax has no slope left; the other has."""
    for kind, slope in (("minimax", 0.0), ("non_saturating", -1.0)):
        fake = leaf([-20.0])
        generator_loss(fake, kind).backward()
        assert fake.grad.item() == pytest.approx(slope, abs=1e-8)


def test_one_sided_label_smoothing():
    real = leaf([math.log(9)])  # the best answer to the label 0.9
    discriminator_loss(real, mg.zeros(1, dtype=mg.float64), label=0.9).backward()
    assert real.grad.item() == pytest.approx(0, abs=1e-15)


# -------------------------------------------------------------------------------------- likelihoods
def test_gaussian_variance_by_number_and_below_eps():
    x, t = leaf([1.0, 2.0]), mg.tensor([0.0, 0.0], dtype=mg.float64)
    same = F.gaussian_nll_loss(x, t, mg.full((2,), 0.5, dtype=mg.float64))
    assert F.gaussian_nll_loss(x, t, 0.5).item() == pytest.approx(same.item(), rel=1e-12)
    var = leaf([0.0, 1e-9])
    F.gaussian_nll_loss(x, t, var).backward()
    assert (var.grad.numpy() < 0).all()


T = mg.tensor


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: F.cosine_embedding_loss(mg.zeros(2, 3), mg.zeros(2, 3), T([1])), "target"),
        (lambda: F.margin_ranking_loss(mg.zeros(2), mg.zeros(3), T([1, 1])), "one shape"),
        (lambda: F.triplet_margin_loss(mg.zeros(2, 3), mg.zeros(2, 3), mg.zeros(2)), "one shape"),
        (lambda: nn.TripletMarginLoss(0.0)(*[mg.zeros(2, 3)] * 3), "margin > 0"),
        (lambda: nn.MultiMarginLoss(p=3), "p to be 1 or 2"),
        (lambda: F.multi_margin_loss(mg.zeros(2, 3), T([0])), "target of shape"),
        (lambda: F.multi_margin_loss(mg.zeros(2, 3, 4), T([0])), "multi_margin_loss: expected"),
        (lambda: F.multilabel_margin_loss(mg.zeros(2, 3), T([0, 1])), "one shape"),
        (lambda: ops.focal_loss(mg.zeros(2, 3), T([0, 1]), gamma=-1), "gamma >= 0"),
        (lambda: ops.capsule_margin_loss(mg.zeros(2, 3), T([0])), "capsule_margin_loss"),
        (lambda: F.gaussian_nll_loss(mg.zeros(2), mg.zeros(2), -1.0), "negative variance"),
        (lambda: F.gaussian_nll_loss(mg.zeros(2), mg.zeros(2), mg.ones(3)), "var of shape"),
        (lambda: F.poisson_nll_loss(mg.zeros(2), mg.zeros(3)), "one shape"),
        (lambda: generator_loss(mg.zeros(2), "wgan"), "generator_loss: expected kind"),
    ],
)  # fmt: skip
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_out_of_range():
    for loss in (F.multi_margin_loss, ops.focal_loss):
        with pytest.raises(IndexError, match=loss.__name__):
            loss(mg.zeros(2, 3), T([0, 3]))
    with pytest.raises(IndexError, match="multilabel_margin_loss"):
        F.multilabel_margin_loss(mg.zeros(1, 2), T([[2, -1]]))
