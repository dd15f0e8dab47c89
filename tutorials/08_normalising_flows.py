# %% [markdown]
# # Normalising flows
#
# After this page you can
#
# - turn a density into another one by an invertible map, and say what the determinant is for;
# - build an affine coupling, whose determinant costs nothing, and train a density by its exact
#   likelihood;
# - tell from the figure alone that a determinant has the wrong sign;
# - convert nats of pixels into bits per dimension, and name three ways to get it wrong;
# - bend a Gaussian posterior with planar layers, and check that a "KL" is one.
#
# The data are two moons, whose true density is known, and energies whose integral a grid computes:
# so every figure here stands beside the exact one.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import jacobian
from minigrad.data import MNIST, log_partition, make_moons, potential
from minigrad.distributions import AffineCoupling, PlanarTransform
from minigrad.evaluation import bits_per_dim

mg.manual_seed(0)

# %% [markdown]
# ## 1. Change of variables
#
# Let $x$ have the density $p_x$ and let $z = f(x)$ be invertible. Probability is neither made nor
# lost: the mass in a small piece $dx$ is the mass in its image, $p_x(x)\,|dx| = p_z(z)\,|dz|$. Hence
#
# $$\ln p_x(x) = \ln p_z(f(x)) + \ln \left| \det \frac{\partial f}{\partial x} \right|.$$
#
# Take $z = \ln x$ with $z \sim N(0, 1)$. The derivative is $1/x$, its logarithm $-\ln x$. A density
# must integrate to 1; with the determinant forgotten, or with its sign turned round, it does not.

# %%
x = np.linspace(1e-4, 60, 600_000)
log_normal = -0.5 * np.log(x) ** 2 - 0.5 * np.log(2 * np.pi)
area = {
    "with + log|det|": np.exp(log_normal - np.log(x)),
    "without": np.exp(log_normal),
    "with - log|det|": np.exp(log_normal + np.log(x)),
}
area = {name: values.sum() * (x[1] - x[0]) for name, values in area.items()}
print({name: round(float(value), 3) for name, value in area.items()})
assert abs(area["with + log|det|"] - 1) < 1e-3
assert area["without"] > 1.5 and area["with - log|det|"] > 5

# %% [markdown]
# ## 2. A coupling: the determinant for nothing
#
# The determinant of a $D \times D$ matrix costs $D^3$. An *affine coupling* (Dinh et al., 2017)
# leaves one half of $x$ as it is and lets it say how to scale and shift the other:
#
# $$z_1 = x_1, \qquad z_2 = x_2\, e^{s(x_1)} + t(x_1).$$
#
# The Jacobian is triangular, with 1 and $e^{s}$ on its diagonal, so
# $\ln|\det| = \sum_i s_i(x_1)$. The inverse is $x_2 = (z_2 - t(z_1))\, e^{-s(z_1)}$, since
# $x_1 = z_1$. Neither asks that $s$ and $t$ be invertible: they may be any networks.


# %%
class Coupling(nn.Module):
    """Of two numbers, the one at ``kept`` stays; |s| < 3."""

    def __init__(self, kept, hidden):
        super().__init__()
        self.kept = kept
        self.network = nn.Sequential(
            nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 2),
        )  # fmt: skip

    def s_and_t(self, kept):
        s, t = self.network(kept).chunk(2, 1)
        return 3 * (s / 3).tanh(), t

    def join(self, kept, other):
        return mg.cat([kept, other] if self.kept == 0 else [other, kept], 1)

    def forward(self, x):  # (N, 2) -> (N, 2), (N,)
        kept, other = x[:, self.kept : self.kept + 1], x[:, 1 - self.kept : 2 - self.kept]
        s, t = self.s_and_t(kept)
        return self.join(kept, other * s.exp() + t), s.sum(1)

    def inverse(self, z):
        kept, other = z[:, self.kept : self.kept + 1], z[:, 1 - self.kept : 2 - self.kept]
        s, t = self.s_and_t(kept)
        return self.join(kept, (other - t) * (-s).exp())


layer = Coupling(0, 16).double()
x = mg.randn(5, 2, dtype=mg.float64)
z, log_det = layer(x)
for i in range(5):
    j = jacobian(lambda x: layer(x.unsqueeze(0))[0][0], x[i]).data
    assert abs(np.linalg.slogdet(j)[1] - log_det.data[i]) < 1e-12
assert abs(layer.inverse(z).data - x.data).max() < 1e-12

library = AffineCoupling(1, lambda kept: layer.s_and_t(kept)[::-1])  # wants (t, s)
assert np.allclose(library(x).data, z.data)
assert np.allclose(library.log_abs_det_jacobian(x, z).data, log_det.data)
print("one Jacobian:\n", j.round(3), "\nits log|det|", np.linalg.slogdet(j)[1], "= s")

# %% [markdown]
# ## 3. RealNVP on two moons
#
# Couplings that take turns in what they keep, and a standard normal density behind them. Training
# goes from data to noise and maximises $\ln p(x)$ itself: no sampling, no bound, no second network.
#
# First the two figures that frame the result. *Miss*: one Gaussian, fitted exactly. *Floor*: the
# entropy of the data, which no density can beat. The moons are two half circles with noise, so
# their density is an integral over the angle, which a sum computes.


# %%
def true_log_density(x, noise=0.05, angles=300):
    t = (np.arange(angles) + 0.5) * np.pi / angles
    upper = np.stack([np.cos(t), np.sin(t)], 1)
    centres = np.concatenate([upper, [1, 0.5] - upper])
    squares = ((x[:, None] - centres) ** 2).sum(2) / (-2 * noise**2)  # (N, 2 angles)
    top = squares.max(1)
    log_mean = top + np.log(np.exp(squares - top[:, None]).mean(1))
    return log_mean - np.log(2 * np.pi * noise**2)


test_x, test_y = make_moons(4000, 0.05, mg.Generator(99))
floor = -true_log_density(test_x).mean()
covariance = np.cov(test_x.T)
miss = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
print(f"one Gaussian {miss:.3f} nats, the data's own entropy {floor:.3f}")
assert abs(miss - 1.889) < 0.03 and abs(floor - 0.289) < 0.03


# %%
class RealNVP(nn.Module):
    def __init__(self, couplings=6, hidden=64):
        super().__init__()
        self.layers = nn.ModuleList(Coupling(i % 2, hidden) for i in range(couplings))

    def forward(self, x):
        total = 0.0
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total

    def inverse(self, z):
        for layer in reversed(list(self.layers)):
            z = layer.inverse(z)
        return z


def nll(flow, x, sign=1.0):
    """-log p(x), on average; ``sign`` = -1 is the mistake."""
    z, log_det = flow(x)
    return (0.5 * (z**2).sum(1) + math.log(2 * math.pi) - sign * log_det).mean()


def fit(flow, steps, sign=1.0, lr=3e-3):
    optimizer = optim.Adam(flow.parameters(), lr=lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator, losses = mg.Generator(1), []
    for _ in range(steps):
        batch = mg.tensor(make_moons(100, 0.05, generator)[0])  # fresh points: no overfitting
        loss = nll(flow, batch, sign)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


flow = RealNVP()
losses = fit(flow, 800)
with mg.no_grad():
    reached = nll(flow, mg.tensor(test_x)).item()
print(f"test NLL {reached:.3f} nats (floor {floor:.3f}, one Gaussian {miss:.3f})")
assert floor - 0.03 < reached < 1.0

# %% [markdown]
# The full-size model, `python -m models.flows.realnvp`, comes within a few hundredths of the floor;
# see [models/RESULTS.md](../models/RESULTS.md). Look at the density, at samples (noise through the
# inverse), and at what the flow makes of the data.

# %%
side_x, side_y = np.linspace(-1.6, 2.6, 190), np.linspace(-1.1, 1.6, 120)
grid = np.stack(np.meshgrid(side_x, side_y), -1).reshape(-1, 2).astype(np.float32)
with mg.no_grad():
    z, log_det = flow(mg.tensor(grid))
    density = (log_det - 0.5 * (z**2).sum(1)).exp().numpy() / (2 * np.pi)
    samples = flow.inverse(mg.randn(1500, 2)).numpy()
    noise = flow(mg.tensor(test_x[:1500]))[0].numpy()
integral = density.sum() * (side_x[1] - side_x[0]) * (side_y[1] - side_y[0])
print(f"the density integrates to {integral:.3f} over this window")
assert 0.9 < integral < 1.02

figure, panels = plt.subplots(1, 3, figsize=(11, 3))
panels[0].imshow(
    density.reshape(120, 190), origin="lower", extent=(-1.6, 2.6, -1.1, 1.6), aspect="auto"
)
panels[0].set_title("density")
panels[1].scatter(*samples.T, s=2)
panels[1].set(title="samples", xlim=(-1.6, 2.6), ylim=(-1.1, 1.6))
panels[2].scatter(*noise.T, s=2, c=test_y[:1500], cmap="coolwarm")
panels[2].set(title="the data as noise z", xlim=(-4, 4), ylim=(-4, 4))
plt.show()

# %% [markdown]
# Note the thin bridge between the moons. $f$ is continuous and so is its inverse: one connected
# Gaussian cannot become two separate pieces, only two pieces with something thin between.
#
# ## 4. The mistake that looks like a triumph
#
# With $-\ln|\det|$ instead of $+$ nothing crashes and the loss falls, further than before. It falls
# *below the entropy of the data*, and that is how to see it.

# %%
wrong = RealNVP(4, 32)
loss = fit(wrong, 200, sign=-1.0)[-1]
with mg.no_grad():
    honest = nll(wrong, mg.tensor(test_x)).item()
print(f'"NLL" {loss:.1f}, below the floor of {floor:.3f}; honestly counted {honest:.1f}')
assert loss < floor - 1 and honest > miss

# %% [markdown]
# ## 5. Pixels: bits per dimension
#
# Pixels are whole numbers $v = 0 \ldots 255$. A *density* on them can be infinite, so noise is
# added: $x = (v + u) / 256$ with $u \sim U[0, 1)$, and by Jensen $\ln P(v) \ge E_u \ln p(x) - D \ln
# 256$. Since a Gaussian knows no bounds, a flow works on $y = \mathrm{logit}(a + (1 - 2a)x)$, and
# owes *that* map's determinant too:
#
# $$\mathrm{bits} = 8 - \frac{1}{D \ln 2} \left[ \ln p(y) + \sum_i \ln \frac{1 - 2a}{p_i (1 - p_i)}
# \right], \qquad p_i = a + (1 - 2a)\, x_i.$$
#
# The simplest "flow" on MNIST is a Gaussian for each pixel of $y$. Four accounts of the same model:

# %%
a, rng = 0.05, np.random.default_rng(0)
levels = np.round(MNIST(train=True).arrays(flatten=True)[0][:20000] * 255)
tests = np.round(MNIST(train=False).arrays(flatten=True)[0][:2000] * 255)


def logits(levels, u):
    p = a + (1 - 2 * a) * (levels + u) / 256
    return np.log(p / (1 - p)), np.log((1 - 2 * a) / (p * (1 - p))).sum(1)


y, _ = logits(levels, rng.random(levels.shape))
mean, std = y.mean(0), np.maximum(y.std(0), 0.1)
y, log_det = logits(tests, rng.random(tests.shape))
log_p = (-0.5 * ((y - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(1)
right = bits_per_dim(log_p + log_det, 784).mean()
print(f"right {right:.2f}   without the logit's determinant {bits_per_dim(log_p, 784).mean():.2f}"
      f"   without the 256 levels {right - 8:.2f}")  # fmt: skip
assert 3 < right < 6 and right - 8 < 0

# %% [markdown]
# And without the noise there is no figure at all. Pixels that are always black are one value; a
# Gaussian on them gains a bit whenever its width is halved, for ever.

# %%
black = np.zeros(2000)
for name, values in (("no noise", black), ("noise", (black + rng.random(2000)) / 256)):
    bits = {}
    for width in (1e-3, 1e-4, 1e-5, 1e-6):
        square = ((values - values.mean()) / width) ** 2
        log_q = -0.5 * square - np.log(width) - 0.5 * np.log(2 * np.pi)
        bits[width] = 8 - log_q.mean() / np.log(2)
    print(f"{name:9}", {width: round(float(b), 1) for width, b in bits.items()})
    assert (bits[1e-6] < -8) == (name == "no noise")

# %% [markdown]
# A code that only knows how often each pixel has each level needs 1.69 bits, so a flow that reports
# 3 has learnt less than a table, and one that reports $-3$ has an error. RealNVP's figure,
# `python -m models.flows.realnvp_mnist`, is in [models/RESULTS.md](../models/RESULTS.md).
#
# ## 6. Flows as posteriors: planar layers
#
# In variational inference the roles change. The target is known as an energy, $p(z) = e^{-U(z)}/Z$,
# and $q$ is what we sample. A planar layer (Rezende and Mohamed, 2015) moves points along $u$:
#
# $$f(z) = z + u \tanh(w^\top z + b), \qquad
# \ln |\det| = \ln \left| 1 + u^\top w\, (1 - \tanh^2(w^\top z + b)) \right|.$$
#
# It is invertible only if $u^\top w > -1$. Leave that out and nothing complains: the formula gives
# numbers, but two points go to one place, and $q$ is no density. The library bends $u$ towards $w$
# until it holds.

# %%
z = mg.tensor([[-1.2, 0.0], [0.0, 0.0], [1.2, 0.0]], dtype=mg.float64)
w, u = (mg.tensor(v, dtype=mg.float64) for v in ([1.0, 0.0], [-3.0, 0.0]))
folded = z + (z @ w).tanh().unsqueeze(1) * u  # u.w = -3
print("u.w = -3 puts", z.numpy()[:, 0], "at", folded.numpy()[:, 0].round(2), ": the order is gone")
assert folded.numpy()[0, 0] > folded.numpy()[2, 0] and folded.numpy()[1, 0] == 0

layer = PlanarTransform(w, u)
kept = layer(z).numpy()[:, 0]
assert kept[0] < kept[1] < kept[2]
u_hat = u + (mg.softplus(w @ u) - 1 - w @ u) * w  # |w| = 1
by_hand = z + (z @ w).tanh().unsqueeze(1) * u_hat
assert np.allclose(by_hand.numpy(), layer(z).numpy())
j = jacobian(lambda z: layer(z.unsqueeze(0))[0], z[0]).numpy()
assert np.isclose(np.linalg.slogdet(j)[1], layer.log_abs_det_jacobian(z, layer(z)).numpy()[0])

# %% [markdown]
# What is minimised is the free energy $F = E_q[\ln q(z) + U(z)] = KL(q \| p) - \ln Z \ge -\ln Z$. In
# the plane a grid gives $Z$, so we can print the KL itself. The wave U2 has walls at $|z_1| = 4$: as
# the paper prints it, it goes on for ever, has no integral, and $F$ no bound.


# %%
class PlanarFlow(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.length = length
        self.mean, self.log_var = nn.Parameter(mg.zeros(2)), nn.Parameter(mg.zeros(2))
        self.w = nn.Parameter(mg.randn(length, 2))
        self.u, self.b = nn.Parameter(mg.randn(length, 2) * 0.1), nn.Parameter(mg.zeros(length))

    def forward(self, eps):
        z = self.mean + (0.5 * self.log_var).exp() * eps
        log_q = -0.5 * (eps**2 + self.log_var + math.log(2 * math.pi)).sum(1)
        for k in range(self.length):
            z, log_det = PlanarTransform(self.w[k], self.u[k], self.b[k]).forward_and_log_det(z)
            log_q = log_q - log_det
        return z, log_q


def fit_energy(length, steps=700):
    mg.manual_seed(1)
    flow = PlanarFlow(length)
    optimizer = optim.Adam(flow.parameters(), lr=2e-2)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        beta = min(1.0, 0.01 + 2 * step / steps)  # annealed: first spread out, then settle
        z, log_q = flow(mg.randn(256, 2))
        loss = (log_q + beta * potential(z, "U2", 4.0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with mg.no_grad():
        z, log_q = flow(mg.randn(20000, 2))
        values = (log_q + potential(z, "U2", 4.0)).numpy() + log_partition("U2", 4.0)
    return float(values.mean()), float(values.std() / math.sqrt(20000)), z.numpy()


results = {length: fit_energy(length) for length in (0, 2, 12)}
for length, (kl, error, _) in results.items():
    print(f"{length:2} planar layers: KL(q || p) = {kl:.3f} +- {error:.3f} nats")
    assert kl > -3 * error
assert results[0][0] > results[2][0] + 0.2 > results[12][0] + 0.4

# %%
figure, panels = plt.subplots(1, 4, figsize=(12, 3), sharey=True)
square = np.stack(np.meshgrid(np.linspace(-5.5, 5.5, 150), np.linspace(-3, 3, 90)), -1)
energy = potential(square.reshape(-1, 2), "U2", 4.0).reshape(90, 150)
panels[0].imshow(np.exp(-energy), origin="lower", extent=(-5.5, 5.5, -3, 3), aspect="auto")
panels[0].set_title("exp(-U2)")
for axes, (length, (_, _, z)) in zip(panels[1:], results.items()):
    axes.scatter(*z[:2500].T, s=1)
    axes.set(title=f"{length} layers", xlim=(-5.5, 5.5), ylim=(-3, 3))
plt.show()

# %% [markdown]
# A VAE with such layers on $q(z|x)$ is `python -m models.flows.vae_nf`: with 16 couplings its bound
# is 2.2 nats better than that of the Gaussian twin (seed 0).
#
# ## 7. A "KL" of $-6$
#
# A popular notebook reports that for its VAE. $E_q[\ln q - \ln p]$ is never negative, so it is no
# KL: the densities are *averaged* over the dimensions while the determinants are *summed*. Take the
# flow that only scales, $z = c\,\epsilon$ in $D$ dimensions. Rightly
# $KL = -D \ln c + \frac{D}{2}(c^2 - 1)$, least at $c = 1$. With the average it is
# $-D \ln c + \frac12 (c^2 - 1)$, which growing rewards.

# %%
D, c = 8, np.linspace(0.3, 4, 200)
right, averaged = -D * np.log(c) + D / 2 * (c**2 - 1), -D * np.log(c) + (c**2 - 1) / 2
print(f"least: {right.min():.3f} at c = {c[right.argmin()]:.2f} when summed, {averaged.min():.2f} "
      f"at c = {c[averaged.argmin()]:.2f} when averaged")  # fmt: skip
assert right.min() >= 0 and averaged.min() < -4.5

# %% [markdown]
# ## Exercises
#
# 1. The averaged "KL" of the last cell: where is its minimum, and how low is it, for any $D$?
# 2. In the plane, how many couplings does it take until both numbers of $z$ depend on both of $x$?
# 3. $z = A x$ with a $2 \times 2$ matrix. What is $\ln|\det|$ for a rotation, and for a reflection?
# 4. How many parameters has the full-size RealNVP, six couplings of two networks 2-256-256-2?

# %%
# Answers.
# 1: the derivative -D / c + c is 0 at c = sqrt(D); there -D/2 ln D + (D - 1) / 2.
lowest = -D / 2 * math.log(D) + (D - 1) / 2
assert abs(averaged.min() - lowest) < 1e-2 and abs(c[averaged.argmin()] - math.sqrt(D)) < 0.02


# 2: the first makes z_2 depend on both, the second z_1.
def all_depend(couplings):
    flow = RealNVP(couplings, 8).double()
    x = mg.tensor([0.3, -0.2], dtype=mg.float64)
    j = jacobian(lambda x: flow(x.unsqueeze(0))[0][0], x).data
    return bool((abs(j) > 1e-12).all())


assert [all_depend(n) for n in (1, 2)] == [False, True]

# 3: 0 for both; the absolute value is what counts.
for matrix in ([[0.6, -0.8], [0.8, 0.6]], [[0.0, 1.0], [1.0, 0.0]]):
    assert abs(np.linalg.slogdet(np.array(matrix))[1]) < 1e-12

# 4
network = (2 + 1) * 256 + (256 + 1) * 256 + (256 + 1) * 2
assert 6 * 2 * network == 804_888
print("all answers check")
