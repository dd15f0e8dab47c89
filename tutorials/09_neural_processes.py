# %% [markdown]
# # Neural processes
#
# After this page you can
#
# - treat whole *functions* as data, and say what the best possible prediction of one is;
# - build a network whose input is a set, and prove that the order of its points cannot matter;
# - train a conditional neural process, and judge it by the exact posterior, not by its pictures;
# - say what a latent code adds, derive its bound, and say why the prior in it is not $N(0, I)$;
# - recognise four mistakes of popular versions by a number each.
#
# It needs tutorials 03 (a network) and 07 (the reparameterised sample and the KL). The models in
# full are `models/neural_process/curves.py` and `completion.py`; their figures stand in
# [models/RESULTS.md](../models/RESULTS.md).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import MNIST, make_gp_curves
from minigrad.distributions import Normal, kl_divergence
from minigrad.evaluation import GaussianProcess

mg.manual_seed(0)
F = nn.functional
LENGTH, NOISE = 0.8, 0.1

# %% [markdown]
# ## 1. Functions as data
#
# One data point is a curve, seen at a few places. We draw ours from a *Gaussian process*: any
# values of a curve are jointly normal, and the kernel $k(x, x') = e^{-(x - x')^2 / 2 \ell^2}$ is
# their covariance. Then the best prediction is known: a conditional of a joint normal, two lines of
# linear algebra.
#
# $$\mathbb{E}[f_t] = K_{tc} (K_{cc} + \sigma^2 I)^{-1} y_c, \qquad
#   \mathrm{Cov}[f_t] = K_{tt} - K_{tc} (K_{cc} + \sigma^2 I)^{-1} K_{ct}$$


# %%
def kernel(a, b):
    return np.exp(-((a[:, None] - b[None, :]) ** 2) / (2 * LENGTH**2))


x, y = make_gp_curves(1, 200, LENGTH, noise=NOISE, grid=True, generator=mg.Generator(5))
line, curve = x[0, :, 0].astype(np.float64), y[0, :, 0].astype(np.float64)
few = np.array([20, 60, 75, 140, 185])
A = kernel(line[few], line[few]) + NOISE**2 * np.eye(5)
mean = kernel(line, line[few]) @ np.linalg.solve(A, curve[few])
cov = kernel(line, line) - kernel(line, line[few]) @ np.linalg.solve(A, kernel(line[few], line))

gp = GaussianProcess(line[few], curve[few], LENGTH, noise=NOISE)
library_mean, library_std = gp.predict(line, observed=False)
assert np.allclose(mean, library_mean, atol=1e-6)
assert np.allclose(np.diag(cov), library_std**2, atol=1e-6)


def band(axes, m, s, title):
    axes.fill_between(line, m - 2 * s, m + 2 * s, alpha=0.2, linewidth=0)
    axes.plot(line, m)
    axes.plot(line, curve, color="0.6", linewidth=0.7)
    axes.plot(line[few], curve[few], "ko", markersize=4)
    axes.set(title=title, ylim=(-3.2, 3.2))


figure, axes = plt.subplots(figsize=(6, 2.6))
band(axes, mean, np.sqrt(np.diag(cov) + NOISE**2), "exact posterior, two deviations")
plt.show()

# %% [markdown]
# A model's figure is the mean of $\log p(y | x, \text{context})$ of unseen points, in nats a point.
# Two numbers frame it: what the exact posterior reaches, and the *miss*, a model that ignores the
# context and says $N(0, 1 + \sigma^2)$ everywhere.

# %%
test_x, test_y = make_gp_curves(300, 40, LENGTH, noise=NOISE, generator=mg.Generator(1))
test_y64 = test_y[:, :, 0].astype(np.float64)


def exact(n):
    """Nats a point of the posterior given the first n points, on the last 20."""
    posterior = GaussianProcess(test_x[:, :n], test_y[:, :n], LENGTH, noise=NOISE)
    return float(posterior.log_prob(test_x[:, 20:], test_y[:, 20:]).mean())


best = {n: exact(n) for n in (1, 5, 20)}
spread = 1 + NOISE**2
miss = float((-0.5 * (test_y64[:, 20:] ** 2 / spread + math.log(2 * math.pi * spread))).mean())
print({n: round(value, 2) for n, value in best.items()}, "miss", round(miss, 2))
assert miss < best[1] < best[5] < best[20]

# %% [markdown]
# ## 2. A network of sets
#
# The context has no order and no fixed size. Any function of the form
#
# $$r = \frac1n \sum_i h(x_i, y_i)$$
#
# respects that. The last layer of $h$ is linear, and a linear layer commutes with the mean,
# $\frac1n \sum_i (W h_i + b) = W (\frac1n \sum_i h_i) + b$, so it is applied once, afterwards.
#
# Instead of the plain number $x$ the network sees *bumps*, Gaussians around fixed centres: of them a
# single linear layer makes any function as fine as they are, where a network of $x$ takes long to
# become sharp. For curves as smooth as ours it matters little, for images very much.

# %%
CENTRES = np.linspace(-2, 2, 16, dtype=np.float32)
WIDTH = np.float32(0.7 * 4 / 15)


def see(x):
    """Places (B, n, 1) as 16 bumps (B, n, 16)."""
    return 2.5 * (-0.5 * ((x - mg.tensor(CENTRES)) / WIDTH) ** 2).exp()


class Process(nn.Module):
    def __init__(self, hidden=96, latent=False):
        super().__init__()
        self.hx, self.hy = nn.Linear(16, hidden), nn.Linear(1, hidden)
        self.h2, self.h3 = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.gx, self.gr = nn.Linear(16, hidden), nn.Linear(hidden, hidden)
        self.g2, self.g3 = nn.Linear(hidden, hidden), nn.Linear(hidden, 2)
        if latent:
            self.mean, self.log_var = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
            nn.init.constant_(self.log_var.bias, -3.0)  # little noise, so that z is heard at first

    def points(self, x, y):
        return self.h2((self.hx(see(x)) + self.hy(y)).relu()).relu()  # (B, n, hidden)

    def represent(self, x, y):
        return self.h3(self.points(x, y).mean(1))  # (B, hidden)

    def decode(self, x, r):
        hidden = (self.gx(see(x)) + self.gr(r).unsqueeze(1)).relu()
        out = self.g3(self.g2(hidden).relu())  # (B, m, 2)
        return out[..., 0], F.softplus(out[..., 1]) + 0.01  # mean, standard deviation


model = Process()
cx, cy = mg.tensor(test_x[:4, :9]), mg.tensor(test_y[:4, :9])
order = mg.tensor([4, 2, 8, 0, 1, 7, 3, 5, 6])
r = model.represent(cx, cy)
shuffled = model.represent(cx[:, order], cy[:, order])
late = model.h3(model.points(cx, cy)).mean(1)  # the last layer before the mean
print("another order:", abs((r - shuffled).detach().numpy()).max())
assert np.allclose(r.detach().numpy(), shuffled.detach().numpy(), atol=1e-6)
assert np.allclose(r.detach().numpy(), late.detach().numpy(), atol=1e-6)

# %% [markdown]
# ## 3. The conditional neural process
#
# The decoder says a mean and a deviation of $y$ at $x$, given $r$. The loss is the negative
# log-likelihood of the targets; the number of context points is drawn anew for every step. New
# curves come in every step too, so there is nothing to overfit.


# %%
def log_normal(y, mean, std):
    return -0.5 * (((y - mean) / std) ** 2 + math.log(2 * math.pi)) - std.log()


def train(model, loss, steps, seed=0):
    mg.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        n = int(rng.integers(1, 26))
        x, y = map(mg.tensor, make_gp_curves(32, n + 20, LENGTH, noise=NOISE))
        optimizer.zero_grad()
        loss(model, x, y, n).backward()
        optimizer.step()
        schedule.step()
    return model


def cnp_loss(model, x, y, n):
    mean, std = model.decode(x[:, n:], model.represent(x[:, :n], y[:, :n]))
    return -log_normal(y[:, n:, 0], mean, std).mean()


def cnp_score(model, n):
    with mg.no_grad():
        r = model.represent(mg.tensor(test_x[:, :n]), mg.tensor(test_y[:, :n]))
        mean, std = model.decode(mg.tensor(test_x[:, 20:]), r)
        return log_normal(mg.tensor(test_y[:, 20:, 0]), mean, std).mean().item()


cnp = train(Process(), cnp_loss, 1000)
for n in (1, 5, 20):
    print(f"{n:2d} points  {cnp_score(cnp, n):6.2f}   exact {best[n]:6.2f}   miss {miss:6.2f}")
assert miss < cnp_score(cnp, 1) < cnp_score(cnp, 5) < cnp_score(cnp, 20) < best[20]

# %% [markdown]
# It has learned what the context is for, without being told the kernel; and it is still far from
# what is possible with 20 points. The mean of a set forgets: CNPs are known to *underfit*. Fifteen
# times as many steps, as `models/neural_process/curves.py` makes, take back a part of it.

# %%
with mg.no_grad():
    r = cnp.represent(
        mg.tensor(x[:, few].astype(np.float32)), mg.tensor(y[:, few].astype(np.float32))
    )
    cnp_mean, cnp_std = (part.numpy()[0] for part in cnp.decode(mg.tensor(x), r))
figure, axes = plt.subplots(1, 2, figsize=(9, 2.6), sharey=True)
band(axes[0], mean, np.sqrt(np.diag(cov) + NOISE**2), "exact posterior")
band(axes[1], cnp_mean, cnp_std, "conditional neural process")
plt.show()

# %% [markdown]
# **Mistake 1: the mean alone.** Some versions train on squared errors and give no deviation. That
# is a likelihood as well, with one deviation for all places, and even the best single one loses:

# %%
with mg.no_grad():
    r = cnp.represent(mg.tensor(test_x[:, :5]), mg.tensor(test_y[:, :5]))
    m, s = (part.numpy() for part in cnp.decode(mg.tensor(test_x[:, 20:]), r))
errors = test_y[:, 20:, 0] - m
one_deviation = -0.5 * (math.log(2 * math.pi * float((errors**2).mean())) + 1)
print(f"5 points: own deviations {cnp_score(cnp, 5):.2f}, one for all {one_deviation:.2f}")
assert one_deviation + 0.1 < cnp_score(cnp, 5)

# %% [markdown]
# ## 4. What is missing: a distribution over *functions*
#
# The CNP predicts each point on its own. Drawn from it, two neighbours have independent errors,
# however near they are: its samples are fuzz around a mean, not curves. So a *latent* process puts
# a code $z$ between encoder and decoder. One $z$ stands for one whole curve, and
#
# $$p(y_T | x_T, C) = \int \prod_j p(y_j | x_j, z)\; p(z | C)\, dz .$$
#
# With an approximate posterior $q(z | C, T)$ that has seen the targets too, Jensen's inequality
# gives, as for the VAE,
#
# $$\log p(y_T | x_T, C) \ge \mathbb{E}_{q(z|C,T)} \sum_j \log p(y_j | x_j, z)
#   - \mathrm{KL}(q(z|C,T) \,\|\, p(z|C)) .$$
#
# $p(z|C)$ is what the context alone says of $z$. Nobody knows it, but the encoder takes sets of any
# size: $p(z|C) \approx q(z|C)$, the same network. The KL of two Gaussians, in log-variances $l$:
#
# $$\mathrm{KL}(p \| q) = \tfrac12 \sum_j \Big(e^{l_p - l_q} + (\mu_p - \mu_q)^2 e^{-l_q} - 1 + l_q - l_p\Big)$$


# %%
def kl(p, q):
    (mp, lp), (mq, lq) = p, q
    return 0.5 * ((lp - lq).exp() + (mp - mq) ** 2 * (-lq).exp() - 1 + lq - lp).sum(1)


p, q = [tuple(mg.randn(1, 3, dtype=mg.float64) for _ in range(2)) for _ in range(2)]
normals = [Normal(m, (l / 2).exp()) for m, l in (p, q)]
by_hand, by_library = kl(p, q).item(), kl_divergence(*normals).sum().item()
print(by_hand, by_library)
assert abs(by_hand - by_library) < 1e-9

# %% [markdown]
# **Mistake 2: two meanings of one output.** A popular version draws $z = \mu + s\,\varepsilon$ with
# the raw output $s$ as the deviation, and hands the same $s$ to a KL that takes it for a
# log-variance. Then the KL is not that of the samples. Sampling says so: the mean of
# $\log p(z) - \log q(z)$ must be the KL.

# %%
mu, s = p
names = {"right: exp(s/2)": (s / 2).exp(), "mixed up: s itself": abs(s)}
for name, deviation in names.items():
    z = mu + deviation * mg.randn(200_000, 3, dtype=mg.float64)
    sampled = Normal(mu, deviation)
    estimate = (sampled.log_prob(z) - normals[1].log_prob(z)).sum(1).mean().item()
    print(f"{name:20s} sampling {estimate:.3f}   the formula {by_hand:.3f}")
    names[name] = estimate
assert abs(names["right: exp(s/2)"] - by_hand) < 0.05 < abs(names["mixed up: s itself"] - by_hand)

# %% [markdown]
# ## 5. The latent process, and the wrong prior
#
# **Mistake 3: the KL to $N(0, I)$.** It looks like the VAE's, but it is another model: $z$ is then
# drawn as if there were no context. We train both. In a test only the context is there, so $z$ comes
# from $q(z|C)$ for both, and the density of a point is the mean over 32 draws.


# %%
def posterior(model, x, y):
    r = model.represent(x, y).relu()
    return model.mean(r), model.log_var(r)


def np_loss(model, x, y, n, right=True):
    after = posterior(model, x, y)  # q(z | context and targets)
    before = posterior(model, x[:, :n], y[:, :n])  # q(z | context)
    prior = before if right else (0 * before[0], 0 * before[1])
    mean, std = model.decode(x[:, n:], mg.gaussian_sample(*after))
    bound = log_normal(y[:, n:, 0], mean, std).sum(1) - kl(after, prior)
    return -bound.mean() / (x.shape[1] - n)


def np_score(model, n, draws=32):
    with mg.no_grad():
        code = posterior(model, mg.tensor(test_x[:, :n]), mg.tensor(test_y[:, :n]))
        each = []
        for _ in range(draws):
            mean, std = model.decode(mg.tensor(test_x[:, 20:]), mg.gaussian_sample(*code))
            each.append(log_normal(mg.tensor(test_y[:, 20:, 0]), mean, std))
        return (mg.logsumexp(mg.stack(each), 0) - math.log(draws)).mean().item()


latent = train(Process(latent=True), np_loss, 2000)
wrong = train(Process(latent=True), lambda *a: np_loss(*a, right=False), 2000)
for n in (1, 5, 20):
    scores = np_score(latent, n), np_score(wrong, n)
    print(
        f"{n:2d} points   q(z|C) {scores[0]:6.2f}   N(0, I) {scores[1]:6.2f}   exact {best[n]:6.2f}"
    )
assert scores[1] + 0.3 < scores[0] < best[20]

# %% [markdown]
# The wrong prior pays, for every curve, for each nat that $z$ knows of it, whether the context told
# it or not. So it tells $z$ less, and the prediction is worse. (A latent process is harder to train
# than a conditional one: with twice the steps it is about as good after 20 points, and after a
# single one it is so sure of itself that it is worse than the miss. Look at all the numbers.)
#
# Now the samples. Each line is one $z$: a coherent curve, where the conditional process has fuzz.

# %%
with mg.no_grad():
    code = posterior(latent, mg.tensor(x[:, few]), mg.tensor(y[:, few]))
    draws = [latent.decode(mg.tensor(x), mg.gaussian_sample(*code))[0].numpy()[0] for _ in range(8)]
figure, axes = plt.subplots(figsize=(6, 2.6))
axes.plot(line, np.stack(draws).T, linewidth=0.9)
axes.plot(line[few], curve[few], "ko", markersize=4)
axes.set(title="eight z of q(z|context)", ylim=(-3.2, 3.2))
plt.show()


def roughness(values):
    """The mean squared step between neighbours, (K, 200) -> one number."""
    return float((np.diff(values, axis=1) ** 2).mean())


independent = cnp_mean + cnp_std * np.random.default_rng(0).normal(size=(8, 200))
print("roughness: latent", roughness(np.stack(draws)), "conditional", roughness(independent))
assert roughness(np.stack(draws)) < 0.05 * roughness(independent)

# %% [markdown]
# ## 6. Images, and a figure that was not worth beating
#
# An image is a function from pixels to grey levels; `models/neural_process/completion.py` completes
# digits from a few of theirs. Others report 0.148 nats a pixel with 300 to 350 of the 784 pixels
# given, the given ones counted in. **Mistake 4: no baseline.** Here is one without any network: each
# pixel a weighted mean of the known pixels around it, and a little of the mean image.

# %%
mean_image = MNIST().arrays(flatten=True)[0].mean(0)
images = MNIST(train=False).arrays(flatten=True)[0][::20]  # 500
grid = np.stack(np.meshgrid(np.arange(28), np.arange(28), indexing="ij"), -1).reshape(784, 2)
rng = np.random.default_rng(0)
everywhere, unseen = [], []
for part in np.split(images, 25):
    shuffle = rng.permutation(784)
    known = shuffle[:325]
    near = np.exp(-((grid[:, None] - grid[known]) ** 2).sum(2) / (2 * 0.5**2))  # (784, 325)
    guess = (part[:, known] @ near.T + 0.01 * mean_image) / (near.sum(1) + 0.01)
    guess = guess.clip(1e-3, 1 - 1e-3)
    nll = -(part * np.log(guess) + (1 - part) * np.log(1 - guess))
    everywhere.append(nll.mean())
    unseen.append(nll[:, shuffle[325:]].mean())
print(f"smoothing: {np.mean(everywhere):.3f} nats a pixel, {np.mean(unseen):.3f} of unseen ones")
assert np.mean(everywhere) < 0.12 < np.mean(unseen) < 0.148

# %% [markdown]
# **No network at all is better than 0.148.** A fair figure counts unseen pixels, and says what
# smoothing reaches. Where a neural process earns its keep is with *few* pixels: with 10 or 100 of
# them there is nothing near to copy, and it has to know digits. RESULTS.md has those figures too.
#
# ## Exercises
#
# 1. The context is given twice: every point appears two times. What happens to $r$? And should a
#    Gaussian process mind?
# 2. What is $\mathrm{KL}(q(z|C,T) \| q(z|C))$ if there are no targets?
# 3. With no noise ($\sigma = 0$) and 20 points, the exact posterior's figure would be very large.
#    Why does a comparison with it say little then?
#
# ### Answers
#
# 1. Nothing: a mean does not count. The Gaussian process does mind: two observations of a place
#    with independent noise are worth more than one. A CNP cannot tell, unless the number is told.
# 2. Zero: both are the same distribution.
# 3. The density at a deviation $\to 0$ is unbounded: the figure measures the last digits of the
#    prediction. Noise sets a scale below which nobody is paid for being exact.

# %%
r_once = cnp.represent(cx, cy).detach().numpy()
r_twice = cnp.represent(mg.cat([cx, cx], 1), mg.cat([cy, cy], 1)).detach().numpy()
assert np.allclose(r_once, r_twice, atol=1e-6)
once = GaussianProcess([0.0], [1.0], LENGTH, noise=0.5).predict([0.0], observed=False)[1]
twice = GaussianProcess([0.0] * 2, [1.0] * 2, LENGTH, noise=0.5).predict([0.0], observed=False)[1]
assert twice < 0.8 * once
same = posterior(latent, cx, cy)
assert abs(kl(same, same).detach().numpy()).max() < 1e-6
sharp = [
    GaussianProcess(test_x[:, :20], test_y[:, :20], LENGTH, noise=noise).predict(test_x[:, 20:])[1]
    for noise in (0.1, 0.001)
]
assert np.log(sharp[0]).mean() - np.log(sharp[1]).mean() > 1.5
print("all answers check")
