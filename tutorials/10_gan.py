# %% [markdown]
# # From the first GAN to Wasserstein
#
# After this page you can
#
# - say what the best discriminator is, and which divergence its loss then measures;
# - write the two steps of the game so that who stands still does stand still, to the last bit;
# - recognise a mode collapse, and measure it where the losses say nothing of it;
# - say why cross-entropy has no notion of *far*, and measure a distance with a critic;
# - keep a critic from being steep, by clipping and by a penalty that needs a second derivative.
#
# Everything happens in the plane, where one can see it. What these losses do to digits stands in
# [models/RESULTS.md](../models/RESULTS.md).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import make_gaussian_ring, ring_centres
from minigrad.evaluation import mode_coverage
from minigrad.nn import adversarial
from minigrad.nn.utils import clip_parameters_, frozen

mg.manual_seed(0)
F = nn.functional

# %% [markdown]
# ## 1. The best discriminator
#
# A generator $G$ makes points $G(z)$ of noise; call their density $q$, and that of the data $p$. A
# discriminator gives a point a score $D(x)$, and $\sigma(D(x))$ is its probability that $x$ is real.
# It lowers the cross-entropy
#
# $$L_D = -E_p \ln \sigma(D(x)) - E_q \ln(1 - \sigma(D(x))).$$
#
# At each $x$ apart, $-p \ln s - q \ln(1 - s)$ is least at $s = p / (p + q)$, so the best score is
# $D^*(x) = \ln p(x) - \ln q(x)$: the discriminator is a **ratio of densities**. Put it in, and
#
# $$L_D^* = 2 \ln 2 - 2\,\mathrm{JS}(p, q),$$
#
# with the Jensen-Shannon divergence, which is 0 for $p = q$ and never above $\ln 2$. We check both
# with two Gaussians, $p = N(1, 1)$ and $q = N(-1, 1)$, where $D^*(x) = 2x$.


# %%
def mlp(inputs, outputs, hidden=64, layers=3):
    parts = []
    for before in [inputs] + [hidden] * (layers - 1):
        parts += [nn.Linear(before, hidden), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts, nn.Linear(hidden, outputs))


def cross_entropy(on_real, on_fake):
    return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()  # -ln s(r), -ln(1 - s(f))


discriminator = mlp(1, 1, layers=1)
optimizer = optim.Adam(discriminator.parameters(), lr=1e-2)
for _ in range(300):
    loss = cross_entropy(discriminator(mg.randn(256, 1) + 1), discriminator(mg.randn(256, 1) - 1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

x = mg.tensor(np.linspace(-2, 2, 9, dtype=np.float32)[:, None])
with mg.no_grad():
    found = discriminator(x)
    loss = cross_entropy(
        discriminator(mg.randn(50_000, 1) + 1), discriminator(mg.randn(50_000, 1) - 1)
    ).item()
line = np.linspace(-8, 8, 4001)
p, q = (np.exp(-((line - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (1, -1))
js = 0.5 * ((p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))).sum() * (line[1] - line[0]))
print("score - 2x:", (found - 2 * x).numpy().ravel().round(2))
print(
    f"L_D {loss:.3f}   2 ln 2 - 2 JS {2 * math.log(2) - 2 * js:.3f}   undecided {2 * math.log(2):.3f}"
)
assert abs((found - 2 * x).numpy()).max() < 0.6 and abs(loss - 2 * math.log(2) + 2 * js) < 0.03
library = adversarial.discriminator_loss(found, x)
assert np.isclose(cross_entropy(found, x).item(), library.item())

# %% [markdown]
# So with the best discriminator, $2 \ln 2$ means that nobody can tell samples from data. But $L_D$ is
# $2 \ln 2$ for an untrained discriminator too, whatever the samples: **the losses do not measure the
# samples**. And "the discriminator gives 1 at the end" is wrong; at the end it gives 1/2, everywhere.
#
# ## 2. Two losses for the generator
#
# The theory has the generator *raise* $L_D$: it lowers $E \ln(1 - \sigma(D(G(z))))$, "minimax". In
# practice it lowers $-E \ln \sigma(D(G(z)))$, which has the same fixed point, but not the same
# gradient (and is no Jensen-Shannon divergence). At the beginning the discriminator is sure, its
# score of samples far below 0:

# %%
score = mg.tensor([-10.0, -5.0, 0.0, 5.0], requires_grad=True)
slopes = {}
for name, loss in {
    "minimax": -F.softplus(score),  # ln(1 - s)
    "non-saturating": F.softplus(-score),  # -ln s
    "least squares": 0.5 * (score - 1) ** 2,
}.items():
    (slopes[name],) = mg.autograd.grad(loss.sum(), score)
    print(f"{name:15s} d loss / d score at -10, -5, 0, 5: {slopes[name].numpy().round(4)}")
assert abs(slopes["minimax"].numpy()[0]) < 1e-4 and slopes["non-saturating"].numpy()[0] < -0.99
assert abs(slopes["non-saturating"].numpy()[3]) < 0.01 and slopes["least squares"].numpy()[3] == 4

# %% [markdown]
# Where samples are bad, minimax says nothing, and that is where there is most to learn. The last
# column is the other end: a sample that the discriminator takes for real, far away as it may be.
# Cross-entropy is content with it; least squares (LSGAN) pulls its score back to 1.
#
# ## 3. The game
#
# In turns, batch by batch: the discriminator lowers its loss with the generator frozen, then the
# generator its own with the discriminator frozen. Our data are eight narrow Gaussians on a ring.
#
# A dense network learns what varies slowly first, and these Gaussians are tiny (deviation 0.02 on a
# ring of radius 2). So beside the coordinates the discriminator sees waves of them.

# %%
LATENT, BATCH = 16, 128


def see(x):
    """x, sin(2^i x), cos(2^i x): (N, 2) -> (N, 22)."""
    waves = [2**i * x for i in range(5)]
    return mg.cat([x, *(w.sin() for w in waves), *(w.cos() for w in waves)], 1)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp(22, 1)

    def forward(self, x):
        return self.body(see(x)).squeeze(1)


def discriminator_step(G, D, optimizer, kind, penalty=None):
    real = mg.tensor(make_gaussian_ring(BATCH)[0])
    with mg.no_grad():
        fake = G(mg.randn(BATCH, LATENT))
    loss = adversarial.discriminator_loss(D(real), D(fake), kind)
    total = loss if penalty is None else loss + penalty(D, real, fake)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return loss


def generator_step(G, D, optimizer, kind):
    with frozen(D):  # gradients go through D, and none stay in it
        loss = adversarial.generator_loss(D(G(mg.randn(BATCH, LATENT))), kind)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def bits(module):
    return [p.detach().numpy().tobytes() for p in module.parameters()]


G, D = mlp(LATENT, 2), Discriminator()
optimizers = [optim.Adam(m.parameters(), lr=1e-3) for m in (G, D)]
before = bits(G)
discriminator_step(G, D, optimizers[1], "non_saturating")
assert bits(G) == before
before = bits(D)
generator_step(G, D, optimizers[0], "non_saturating")
assert bits(D) == before
print("who stands still does")

# %% [markdown]
# **Mistake 1: nobody is frozen.** A popular Wasserstein GAN hands the generator's optimiser a model of
# both networks, with the critic left trainable. Then the generator's step trains the critic as well,
# *to help the generator*: the judge is bribed in every second step.

# %%
everybody = optim.Adam([*G.parameters(), *D.parameters()], lr=1e-3)
before = bits(D)
z = mg.randn(BATCH, LATENT)
praise = [D(G(z)).mean().item()]
for _ in range(20):
    loss = -D(G(z).detach()).mean()  # nothing here depends on the generator's weights
    everybody.zero_grad()
    loss.backward()
    everybody.step()
praise.append(D(G(z)).mean().item())
print(f"the same samples, judged before and after: {praise[0]:.2f}, {praise[1]:.2f}")
assert bits(D) != before and praise[1] > praise[0] + 1

# %% [markdown]
# ## 4. Mode collapse
#
# Now the game in earnest. A sample is good if it lies within three deviations of a centre, and a
# Gaussian is *hit* if it gets a fifth of its share of the samples. What the misses are: noise has
# no good samples and hits nothing; one point repeated is perfect, and hits one of eight.


# %%
def play(kind, steps, lr, penalty=None, every=100, seed=0):
    mg.manual_seed(seed)
    G, D = mlp(LATENT, 2), Discriminator()
    optimizers = [optim.Adam(m.parameters(), lr=lr, betas=(0.5, 0.99)) for m in (G, D)]
    schedules = [optim.lr_scheduler.CosineAnnealingLR(o, steps) for o in optimizers]
    history, frames = [], []
    z = mg.randn(2000, LATENT)
    for step in range(1, steps + 1):
        d_loss = discriminator_step(G, D, optimizers[1], kind, penalty)
        g_loss = generator_step(G, D, optimizers[0], kind)
        for schedule in schedules:
            schedule.step()
        if step % every == 0:
            with mg.no_grad():
                points = G(z).numpy()
            coverage = mode_coverage(points, ring_centres(), 0.02)
            history.append([step, d_loss.item(), g_loss.item(), *coverage])
            frames.append((step, points, field(D)))
    return np.array(history), frames


def field(D, half=3.0, n=61):
    """Scores on a grid of the plane (n, n)."""
    line = np.linspace(-half, half, n, dtype=np.float32)
    with mg.no_grad():
        return (
            D(mg.tensor(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2))).numpy().reshape(n, n)
        )


def show(frames, title):
    frames = [frames[i * (len(frames) - 1) // 4] for i in range(5)]
    figure, axes = plt.subplots(1, 5, figsize=(10, 2.4))
    for ax, (step, points, values) in zip(axes, frames):
        ax.imshow(values, origin="lower", extent=(-3, 3, -3, 3), cmap="RdBu_r", alpha=0.7)
        ax.plot(*ring_centres().T, "k+", markersize=9)
        ax.plot(*points[:500].T, ".", color="gold", markeredgecolor="k", markeredgewidth=0.3)
        ax.set(title=f"step {step}", xticks=[], yticks=[], xlim=(-3, 3), ylim=(-3, 3))
    figure.suptitle(title)
    plt.show()


plain, frames = play("non_saturating", 1500, lr=1e-3)
show(frames, "non-saturating: scores (red: real), data (+), samples")
step, d_loss, g_loss, modes, quality = plain[-1]
print(
    f"L_D {d_loss:.2f}  L_G {g_loss:.2f}   modes hit {modes:.0f} of 8, good samples {quality:.1%}"
)
assert modes <= 4 and quality > 0.5

# %% [markdown]
# Nearly every sample is good, and most of the data are never made. Nothing in the loss asks for
# variety: the discriminator judges one point at a time. It knows what is going on; where all samples
# and one of $K = 8$ Gaussians are, its best score is $D^* = \ln(1/K)$, so that
#
# $$L_G = \ln(1 + K) = 2.197, \qquad L_D = \tfrac1K \ln(1 + K) + \ln(1 + \tfrac1K) = 0.392,$$
#
# and these are the losses that we see. But its slope there is 0: between the Gaussians, where nobody
# is, the scores are whims of the network, and no way leads to another Gaussian. The losses are finite
# and calm; only who knows what to expect sees it in them.
#
# That is not overfitting, though one reads so: new points are drawn for every step.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6))
lines_of = [axes[0].plot(plain[:, 0], plain[:, i], label=n)[0] for i, n in ((1, "L_D"), (2, "L_G"))]
one_of_eight = math.log(9) / 8 + math.log(9 / 8), math.log(9)
for line, value in zip(lines_of, one_of_eight):
    axes[0].axhline(value, color=line.get_color(), linestyle=":", linewidth=1)
axes[0].set(title="losses; dotted: one of eight", xlabel="step", ylim=(0, 5))
axes[0].legend()
axes[1].plot(plain[:, 0], plain[:, 3])
axes[1].set(ylim=(0, 8.4), title="modes hit", xlabel="step")
plt.show()
assert np.allclose(plain[-5:, 1:3].mean(0), one_of_eight, rtol=0.15) or modes > 1

# %% [markdown]
# ## 5. A divergence that does not know what *far* is
#
# Two parallel lines: data at $(0, u)$, samples at $(\theta, u)$, $u \sim U(0, 1)$. They do not touch
# unless $\theta = 0$, so $\mathrm{JS} = \ln 2$ for *every* $\theta \ne 0$: it is the same for a near miss
# and a far one, and its gradient in $\theta$ is 0. The **Wasserstein distance** is the least work,
# mass times way, that turns one into the other: here $|\theta|$. By the duality of Kantorovich and
# Rubinstein
#
# $$W(p, q) = \max_{|D(x) - D(y)| \le |x - y|} E_p D - E_q D .$$
#
# A *critic* $D$, without a sigmoid, that is nowhere steeper than 1. (Only that: it may have kinks,
# as any network of ReLUs has.) In one dimension sorting gives $W$ exactly:

# %%
a, b = np.random.default_rng(0).normal(size=(2, 2000))
exact = abs(np.sort(a) - np.sort(b + 0.7)).mean()
print(f"W of N(0, 1) and N(0.7, 1), sampled: {exact:.3f}")
assert abs(exact - 0.7) < 0.06

# %% [markdown]
# How to keep a network from being steep?
#
# - *Clip* all its weights to $[-c, c]$ after **each** step (not each epoch). The slope is then at most
#   the product of the layers' spectral norms, some $K$: the critic estimates $K W$.
# - *Penalise* its slope: add $\lambda\, E (|\nabla D(\hat x)| - 1)^2$ at points $\hat x$ between data and
#   samples. The gradient of that, in the weights, goes through a gradient.
#
# On the lines we know what the penalty gives: a critic $-a x$ has the loss
# $-a\theta + \lambda(a - 1)^2$, least at $a = 1 + \theta / 2\lambda$; the estimate is $a\theta$.


# %%
def slope_penalty(D, real, fake):
    u = mg.rand(len(real), 1)
    between = (u * real + (1 - u) * fake).detach()
    between.requires_grad = True
    (slope,) = mg.autograd.grad(D(between).sum(), between, create_graph=True)
    return (((slope**2).sum(1) + 1e-12).sqrt() - 1) ** 2


def lines(theta, n):
    return [mg.cat([mg.full((n, 1), x), mg.rand(n, 1)], 1) for x in (0.0, theta)]


def judge_lines(theta, kind, penalty=0.0, clip=None):
    mg.manual_seed(0)
    critic = mlp(2, 1, hidden=32, layers=2)
    optimizer = optim.RMSprop(critic.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for _ in range(300):
        real, fake = lines(theta, 128)
        loss = adversarial.discriminator_loss(critic(real), critic(fake), kind)
        if penalty:
            loss = loss + penalty * slope_penalty(critic, real, fake).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if clip is not None:
            clip_parameters_(critic.parameters(), clip)
    with mg.no_grad():
        real, fake = lines(theta, 5000)
        value = adversarial.discriminator_loss(critic(real), critic(fake), kind).item()
    return -value if kind == "wasserstein" else math.log(2) - value / 2


critic, (real, fake) = mlp(2, 1), lines(0.5, 50)
by_hand = slope_penalty(critic, real, fake).mean().item()
library = np.mean([adversarial.gradient_penalty(critic, real, fake).item() for _ in range(200)])
print(f"slope penalty {by_hand:.4f}, the library's mean over its draws {library:.4f}")
assert abs(by_hand - library) < 0.01

thetas = [0.25, 0.5, 1.0, 1.5]
js = [judge_lines(t, "non_saturating") for t in thetas]
clipped = [judge_lines(t, "wasserstein", clip=0.1) for t in thetas]
penalised = [judge_lines(t, "wasserstein", penalty=10.0) for t in thetas]
for name, values in {"JS": js, "clipped": clipped, "penalised": penalised}.items():
    print(f"{name:10s}", np.round(values, 3))
expected = [t * (1 + t / 20) for t in thetas]
assert np.allclose(penalised, expected, rtol=0.06) and min(js) > 0.66
assert 1.7 < clipped[2] / clipped[1] < 2.3  # proportional, with a K of its own

# %%
figure, axes = plt.subplots(figsize=(5.4, 3))
axes.plot(thetas, js, "o-", label="cross-entropy: JS (at most ln 2)")
axes.plot(thetas, penalised, "s-", label="critic with a penalty")
axes.plot(thetas, clipped, "^-", label="clipped critic")
axes.plot([0, 1.5], [0, 1.5], "k:", label="W")
axes.set(xlabel="distance of the lines", ylabel="estimate")
axes.legend(fontsize=8)
plt.show()

# %% [markdown]
# **Mistake 2: clipping what is no weight.** A popular version cuts *everything* that the critic holds
# to $[-0.01, 0.01]$, the running variances of its batch norm among it. **Mistake 3: a test that cannot
# fail.** Its own test of the clipping reads `np.all(w) <= .01 or np.all(w) >= -.01`: `np.all` is true or
# false, and 1 is at least $-0.01$.

# %%
w = np.array([100.0, -100.0])
print(
    "popular test:", bool(np.all(w) <= 0.01 or np.all(w) >= -0.01), " right:", abs(w).max() <= 0.01
)

layer = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
layer(5 * mg.randn(64, 2))
variance = layer[1].running_var.numpy().copy()
clip_parameters_(layer.parameters(), 0.01)
assert (layer[1].running_var.numpy() == variance).all() and variance.min() > 0.02
assert all(abs(p.detach().numpy()).max() <= np.float32(0.01) for p in layer.parameters())

# %% [markdown]
# ## 6. The same game, with a critic
#
# The networks and the data are those of section 4; only the losses differ, and the learning rate,
# which a critic of slope 1 allows to be higher.

# %%
critic, frames = play(
    "wasserstein", 2000, lr=3e-3, penalty=lambda D, r, f: slope_penalty(D, r, f).mean()
)
show(frames, "a critic with a penalty: scores, data (+), samples")
step, d_loss, g_loss, modes, quality = critic[-1]
print(f"estimate of W {-d_loss:.2f}   modes hit {modes:.0f} of 8, good samples {quality:.1%}")
assert modes >= 7 and quality > 0.4

# %% [markdown]
# All Gaussians are hit, and the critic's scores fall evenly from where data lack to where samples are
# too many: there is a way from everywhere. (More steps make the samples sharp: `python -m
# models.gan.toys`, and all six losses on 8 and 25 Gaussians.) And the loss has become a measure:

# %%
figure, axes = plt.subplots(figsize=(5.4, 2.6))
axes.plot(critic[:, 0], -critic[:, 1], label="critic's estimate of W")
axes.plot(critic[:, 0], 1 - critic[:, 4], label="share of bad samples")
axes.set(xlabel="step")
axes.legend(fontsize=8)
plt.show()
early, late = -critic[:4, 1].mean(), -critic[-4:, 1].mean()
print(f"estimate: first steps {early:.2f}, last steps {late:.2f}")
assert late < 0.5 * early

# %% [markdown]
# It is comparable with itself only: another critic has another $K$. And it is an estimate from
# below: a critic that is not trained enough says that samples are near. So it gets more steps than
# the generator where a step is cheap, and the digits of `python -m models.gan.wgan` are shown to a
# judge that was trained apart.
#
# ## Exercises
#
# 1. $p$ is one point at 0, $q$ one point at $\theta$. What are JS and $W$?
# 2. A critic of two linear layers without biases, 2-64-1, all weights clipped to $c = 0.01$: how steep
#    can it be?
# 3. "The real and the generated batch must be seen in two separate steps, against vanishing
#    gradients." What does one step on $L_D$ do that is different from the sum of both gradients?
#
# ### Answers
#
# 1. $\ln 2$ for $\theta \ne 0$ and 0 else; and $|\theta|$.
# 2. The product of the spectral norms is at most $0.01\sqrt{128} \cdot 0.01\sqrt{64} \approx 0.009$: about
#    a hundredth of the slope 1, which only scales the estimate.
# 3. Nothing: the gradient of a difference is the difference of the gradients. Two steps only move
#    the weights in between.

# %%
first, second = np.full((2, 64), 0.01), np.full((64, 1), 0.01)
steepest = np.linalg.norm(first @ second, 2)
bound = np.linalg.norm(first, 2) * np.linalg.norm(second, 2)
assert steepest <= bound * 1.0001 and np.isclose(bound, 0.0001 * math.sqrt(128 * 64))
critic = mlp(2, 1)
real, fake = lines(1.0, 64)
weights = list(critic.parameters())
together = mg.autograd.grad(critic(fake).mean() - critic(real).mean(), weights, allow_unused=True)
on_fake = mg.autograd.grad(critic(fake).mean(), weights)
on_real = mg.autograd.grad(critic(real).mean(), weights)
for t, f, r in zip(together, on_fake, on_real):
    assert np.allclose(t.numpy(), f.numpy() - r.numpy(), atol=1e-6)
print("all answers check")
