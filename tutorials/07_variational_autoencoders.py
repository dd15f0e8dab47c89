# %% [markdown]
# # The variational autoencoder, beta and conditions
#
# After this page you can
#
# - derive the evidence lower bound (ELBO), say what its gap is, and compute both in a model where
#   everything is known;
# - write the two terms of the loss with ops, check them against sampling and against
#   `minigrad.distributions`, and say why the sample is written as $\mu + \sigma\varepsilon$;
# - train a VAE, and name the figures that bound its result from both sides;
# - say what a weight $\beta$ on the KL does, and measure it;
# - tell the label to encoder and decoder, and have the generated digits judged by someone else.
#
# To stay quick we train on 10,000 digits for a few epochs; figures on all of them stand in
# [models/RESULTS.md](../models/RESULTS.md).

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import distributions, nn, optim
from minigrad.data import MNIST, DataLoader, TensorDataset
from minigrad.evaluation import active_units, importance_weighted_bound
from models import judge

mg.manual_seed(0)
F = nn.functional

# %% [markdown]
# ## 1. A lower bound on a likelihood
#
# A latent-variable model draws a code $z \sim p(z)$ and then data $x \sim p(x|z)$. What we would
# like to maximise, $\log p(x) = \log \int p(x|z)\,p(z)\,dz$, is an integral over all codes. Take any
# distribution $q(z)$ and insert it:
#
# $$\log p(x) = \underbrace{E_q[\log p(x|z)] - \mathrm{KL}(q(z)\,\|\,p(z))}_{\text{ELBO}}
#   + \mathrm{KL}(q(z)\,\|\,p(z|x)).$$
#
# The last term is not negative, so the ELBO is a lower bound, and it is tight where $q$ is the
# posterior. Mind the two divergences: the one *in* the bound is to the prior, the one that is the
# *gap* is to the posterior. Some texts say that training minimises the divergence of the encoder
# to the posterior; it does so only together with raising $\log p(x)$.
#
# One dimension, everything Gaussian: $p(z) = N(0, 1)$, $p(x|z) = N(2z, 1)$. Then $p(x) = N(0, 5)$ and
# $p(z|x) = N(2x/5, 1/5)$, and $E_q (x - 2z)^2 = (x - 2m)^2 + 4s^2$ for $q = N(m, s^2)$.


# %%
def elbo(x, m, s):
    expected_log_likelihood = -0.5 * ((x - 2 * m) ** 2 + 4 * s**2 + np.log(2 * np.pi))
    kl_to_prior = 0.5 * (s**2 + m**2 - 1 - np.log(s**2))
    return expected_log_likelihood - kl_to_prior


x = 1.5
log_p = -0.5 * (x**2 / 5 + np.log(2 * np.pi * 5))
best = elbo(x, 2 * x / 5, np.sqrt(1 / 5))
print(
    f"log p(x) = {log_p:.4f};  ELBO at the posterior {best:.4f}, at the prior {elbo(x, 0, 1):.4f}"
)
m, s = np.meshgrid(np.linspace(-1, 2, 301), np.linspace(0.1, 2, 191))
assert np.isclose(best, log_p) and (elbo(x, m, s) <= log_p + 1e-12).all()

# %%
figure, axes = plt.subplots(figsize=(5.2, 3.4))
gap = axes.contourf(
    m, s, log_p - elbo(x, m, s), levels=[0, 0.1, 0.3, 1, 3, 10, 30], cmap="viridis_r"
)
axes.plot(2 * x / 5, np.sqrt(1 / 5), "k*", markersize=12)
axes.set(xlabel="mean of q", ylabel="deviation of q", title="The gap (nats); star: the posterior")
figure.colorbar(gap)
plt.show()

# %% [markdown]
# ## 2. The KL, by formula and by sampling
#
# The encoder gives a mean and a **log-variance** for each dimension, $q = N(\mu, e^{v})$ with
# $v = \log\sigma^2$, and the prior is $N(0, I)$. Per dimension
#
# $$\mathrm{KL} = E_q[\log q - \log p] = \tfrac12\left(e^{v} + \mu^2 - 1 - v\right).$$
#
# Three mistakes that popular code makes here: the network's output is used as $\sigma$ in the sample
# and as $\log\sigma^2$ in the KL; the KL is *averaged* over the dimensions, which divides its weight
# by their number; the sign is lost, and a "KL" of $-5$ is reported. A KL is never negative, so that
# figure alone shows a bug.


# %%
def kl_divergence(mean, log_var):
    return 0.5 * (log_var.exp() + mean**2 - 1 - log_var).sum(1)  # (N, D) -> (N,)


mean, log_var = mg.randn(4, 3), mg.randn(4, 3)
q = distributions.Normal(mean, (log_var / 2).exp())
p = distributions.Normal(mg.zeros(4, 3), mg.ones(4, 3))
library = distributions.kl_divergence(q, p).sum(1)
z = q.sample((100_000,))
sampled = (q.log_prob(z) - p.log_prob(z)).sum(2).mean(0)
print("formula ", kl_divergence(mean, log_var).numpy().round(3))
print("library ", library.numpy().round(3))
print("sampling", sampled.numpy().round(3))
assert np.allclose(kl_divergence(mean, log_var).numpy(), library.numpy(), rtol=1e-4)
assert np.allclose(sampled.numpy(), library.numpy(), rtol=0.03, atol=0.02)

# what the three mistakes would make of it
sigma_for_log_var = 0.5 * ((log_var / 2).exp() ** 2 + mean**2 - 1 - (log_var / 2).exp()).sum(1)
averaged = kl_divergence(mean, log_var) / 3
print(
    "σ taken for log σ²:",
    sigma_for_log_var.numpy().round(3),
    " averaged:",
    averaged.numpy().round(3),
)
assert not np.allclose(sigma_for_log_var.numpy(), library.numpy(), rtol=0.1)

# %% [markdown]
# ## 3. The sample, written so that gradients pass
#
# The other term is an expectation over $z \sim q$, estimated with one sample. Drawing is no
# function of $\mu$ and $v$; but $z = \mu + e^{v/2}\varepsilon$ with $\varepsilon \sim N(0, 1)$ has
# the same distribution and is. The randomness sits in $\varepsilon$, which needs no gradient. For
# $f(z) = z^2$ we know the answer: $E f = \mu^2 + e^v$.

# %%
mu = mg.full(200_000, 0.7, dtype=mg.float64, requires_grad=True)
v = mg.full(200_000, -0.4, dtype=mg.float64, requires_grad=True)
z = mu + (v / 2).exp() * mg.randn(200_000, dtype=mg.float64)
(z**2).mean().backward()
print(f"d/dmu {mu.grad.sum().item():.3f} (2 mu = 1.4);  d/dv {v.grad.sum().item():.3f} "
      f"(exp v = {np.exp(-0.4):.3f})")  # fmt: skip
assert abs(mu.grad.sum().item() - 1.4) < 0.02 and abs(v.grad.sum().item() - np.exp(-0.4)) < 0.02

# %% [markdown]
# ## 4. The model, and what its loss can and cannot be
#
# Pixels are Bernoulli given $z$, so $-\log p(x|z)$ is the binary cross-entropy **summed** over the 784
# pixels. An average over pixels weighs the KL 784 times as much, and the code collapses: the decoder
# then ignores $z$. Figures around the loss, before we train:
#
# - *collapsed*: every pixel predicted by its mean over the training images, 206 nats;
# - *impossible*: grey pixels have an entropy of their own, 45.5 nats on the test images. A loss
#   below it means a bug (a wrong sign in the KL beats it easily).

# %%
images, labels = MNIST(train=True).arrays(flatten=True)
order = np.random.default_rng(0).permutation(60000)[:10000]
train_x, train_y = images[order], labels[order]
test_x, test_y = (a[:2000] for a in MNIST(train=False).arrays(flatten=True))

pixel_means = mg.tensor(train_x.mean(0).clip(1e-4, 1 - 1e-4))
logit = (pixel_means / (1 - pixel_means)).log().expand(2000, 784)
collapsed = (
    F.binary_cross_entropy_with_logits(logit, mg.tensor(test_x), reduction="sum").item() / 2000
)
g = test_x.astype(float).clip(1e-12, 1 - 1e-12)
floor = -(g * np.log(g) + (1 - g) * np.log(1 - g)).sum(1).mean()
print(f"collapsed {collapsed:.1f} nats, impossible below {floor:.1f} nats")
assert 195 < collapsed < 215 and 40 < floor < 50


# %%
class VAE(nn.Module):
    """784 (and a one-hot label) to a code and back; labels=0 is the plain VAE."""

    def __init__(self, latent, hidden=256, labels=0):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784 + labels, hidden), nn.ReLU())
        self.mean, self.log_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent + labels, hidden), nn.ReLU(), nn.Linear(hidden, 784)
        )

    def encode(self, x, *y):
        h = self.encoder(mg.cat([x, *y], 1))
        return self.mean(h), self.log_var(h)

    def decode(self, z, *y):
        return self.decoder(mg.cat([z, *y], 1))


def losses(model, x, *y):
    mean, log_var = model.encode(x, *y)
    z = mg.gaussian_sample(mean, log_var)  # mean + exp(log_var / 2) * eps
    logits = model.decode(z, *y)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return reconstruction.mean(), kl_divergence(mean, log_var).mean()


def fit(model, epochs, beta=1.0, conditional=False):
    loader = DataLoader(TensorDataset(train_x, train_y), batch_size=100, shuffle=True)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    for _ in range(epochs):
        for x, y in loader:
            told = [F.one_hot(y, 10).to(x.dtype)] if conditional else []
            reconstruction, kl = losses(model, x, *told)
            optimizer.zero_grad()
            (reconstruction + beta * kl).backward()
            optimizer.step()
            schedule.step()
    with mg.no_grad():
        told = [F.one_hot(mg.tensor(test_y), 10).to(mg.float32)] if conditional else []
        return [value.item() for value in losses(model, mg.tensor(test_x), *told)]


model = VAE(latent=20)
reconstruction, kl = fit(model, epochs=6)
print(
    f"negative ELBO {reconstruction + kl:.1f} = reconstruction {reconstruction:.1f} + KL {kl:.1f}"
)
assert floor < reconstruction + kl < 143 < collapsed and 12 < kl < 30

# %% [markdown]
# The full figure, 55,000 images and 40 epochs of `python -m models.variational.vae`, is in
# [models/RESULTS.md](../models/RESULTS.md): below 106 nats. How loose is the bound? With $K$ samples,
# $\log p(x) \ge E \log \frac1K \sum_k p(x, z_k)/q(z_k|x)$ is tighter, and rises with $K$.

# %%
with mg.no_grad():
    x = mg.tensor(test_x[:200])
    mean, log_var = model.encode(x)
    q = distributions.Normal(mean, (log_var / 2).exp())
    log_w = []
    for _ in range(100):
        z = q.sample()
        log_lik = -F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="none").sum(1)
        log_prior = distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
        log_w.append(log_lik + log_prior - q.log_prob(z).sum(1))
    log_w = mg.stack(log_w)  # (K, N)
    bounds = [importance_weighted_bound(log_w[:k]).mean().item() for k in (1, 10, 100)]
print("nats with 1, 10, 100 samples:", np.round(bounds, 1))
assert bounds[0] < bounds[1] < bounds[2]

# %%
with mg.no_grad():
    rows = [
        test_x[:10],
        model.decode(mean[:10]).sigmoid().numpy(),
        model.decode(mg.randn(10, 20)).sigmoid().numpy(),
    ]
figure, grid = plt.subplots(3, 10, figsize=(9, 2.9))
for axes, image in zip(grid.flat, np.concatenate(rows)):
    axes.imshow(image.reshape(28, 28), cmap="gray_r")
    axes.axis("off")
figure.suptitle("test images; reconstructed; samples from the prior", fontsize=10)
plt.show()

# %% [markdown]
# ## 5. A weight on the KL
#
# $E_q[-\log p(x|z)] + \beta\,\mathrm{KL}$: the larger $\beta$, the dearer every nat that the code
# carries. A dimension is *active* if its posterior mean moves with the image (variance above 0.01);
# the others have become the prior, and the decoder ignores them.
#
# Two sentences that one reads: "$\beta = 1$ is the conditional VAE" (it is the VAE; conditioning is
# another matter, section 6), and "the KL imposes a mixture of Gaussians" (the prior is *one*
# Gaussian; clusters are in the aggregate of the posteriors).

# %%
sweep = {}
for beta in (1, 4, 20):
    mg.manual_seed(0)
    trial = VAE(latent=10, hidden=128)
    r, k = fit(trial, epochs=3, beta=beta)
    with mg.no_grad():
        codes = trial.encode(mg.tensor(test_x))[0]
    sweep[beta] = r, k, active_units(codes)
    print(f"beta {beta:2d}: reconstruction {r:6.1f}  KL {k:5.2f}  active {sweep[beta][2]} of 10")
r, k, active = zip(*sweep.values())
assert r[0] < r[1] < r[2] and k[0] > k[1] > k[2] and active[0] >= active[1] >= active[2]

# %% [markdown]
# On sprites whose places are known, `python -m models.variational.beta_vae` measures whether each
# dimension has become one factor. MNIST has no known factors, so nothing can be said here.
#
# ## 6. Telling the label
#
# Condition everything on the digit $y$: $\log p(x|y) \ge E_q[\log p(x|z,y)] - \mathrm{KL}(q(z|x,y)\,\|\,p(z))$.
# Encoder and decoder get $y$ as a one-hot vector. What the label says, $z$ need not: it costs KL.
# So $z$ keeps what digits share, slant and thickness. Generation: draw $z$, choose $y$.
#
# Whether a generated 7 is a 7 must be said by someone who had no part in it: `models/judge.py` is a
# classifier that was trained apart and recognises 99.25 % of the real test digits.

# %%
mg.manual_seed(0)
conditional = VAE(latent=2, labels=10)
r_c, k_c = fit(conditional, epochs=15, conditional=True)
plain = VAE(latent=2)
r_p, k_p = fit(plain, epochs=15)
print(f"negative ELBO: with the label {r_c + k_c:.1f}, without {r_p + k_p:.1f}")

asked = np.arange(1000) % 10
with mg.no_grad():
    y = F.one_hot(mg.tensor(asked), 10).to(mg.float32)
    made = conditional.decode(mg.randn(1000, 2), y).sigmoid()
    unconditional = plain.decode(mg.randn(1000, 2)).sigmoid()
right = judge.recognised(made, asked)
chance = judge.recognised(unconditional, asked)
print(
    f"recognised as what was asked: {100 * right:.1f} %  (a model that is not told: {100 * chance:.1f} %)"
)
assert right > 0.85 and chance < 0.2 and r_c + k_c < r_p + k_p - 5

# %%
with mg.no_grad():
    hands = mg.tensor(
        np.repeat([[-1.2, 0.0], [0.0, 0.0], [1.2, 0.0], [0.0, 1.2]], 10, axis=0), dtype=mg.float32
    )
    y = F.one_hot(mg.tensor(np.tile(np.arange(10), 4)), 10).to(mg.float32)
    written = conditional.decode(hands, y).sigmoid().numpy()
figure, grid = plt.subplots(4, 10, figsize=(9, 3.8))
for axes, image in zip(grid.flat, written):
    axes.imshow(image.reshape(28, 28), cmap="gray_r")
    axes.axis("off")
figure.suptitle("one code a row, one digit a column", fontsize=10)
plt.show()

# %% [markdown]
# ## Exercises
#
# 1. What is the KL of $N(3, 1)$ from $N(0, 1)$, and what does a code of 20 such dimensions cost?
# 2. The squared error, summed over pixels, is $-\log p(x|z)$ but for a constant for a Gaussian of
#    which variance? What does 784 times the *mean* squared error therefore assume?
# 3. A batch has KLs of 3 and 5 nats in two dimensions. What does code report that averages over
#    dimensions, and what $\beta$ does it train with?

# %%
# Answers.
# 1: 9/2 nats, and 90 for all.
one = kl_divergence(mg.tensor([[3.0]]), mg.zeros(1, 1)).item()
assert one == 4.5 and kl_divergence(mg.full((1, 20), 3.0), mg.zeros(1, 20)).item() == 90.0

# 2: -log N(x; m, s²) = (x - m)² / (2 s²) + const, so 2 s² = 1: a variance of 1/2. 784 times the mean
# over 784 pixels is the sum, so it assumes the same.
density = distributions.Normal(mg.tensor([0.2, 0.2]), mg.tensor([0.5**0.5] * 2))
a, b = (-density.log_prob(mg.tensor([0.9, 0.3]))).tolist()
assert abs((a - b) - ((0.9 - 0.2) ** 2 - (0.3 - 0.2) ** 2)) < 1e-5

# 3: it reports 4 nats where the KL is 8, and trains with beta = 1/2.
assert np.mean([3, 5]) == 0.5 * np.sum([3, 5])
print("all answers check")
