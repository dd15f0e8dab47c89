# %% [markdown]
# # Conditional GANs, and codes that come to mean something
#
# After this page you can
#
# - say what a discriminator that is not told the condition cannot see, and compute what one that is
#   told measures;
# - train a CGAN and an ACGAN, and judge them by accuracy *and* diversity;
# - derive the bound on mutual information that InfoGAN raises, check it where everything is known,
#   and show why a popular replacement is no bound;
# - find classes and a slant in digits without a label, and say how far that went;
# - turn a classifier round, level by level (StackedGAN), without two popular mistakes.
#
# You need [From the first GAN to Wasserstein](10_gan.ipynb). To stay quick all networks are dense and
# digits have 14 x 14 pixels; the convolutional models are `models/gan/cgan.py`, `acgan.py`,
# `infogan.py` and `stackedgan.py`, and their figures are in [models/RESULTS.md](../models/RESULTS.md).

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import MNIST
from minigrad.evaluation import cluster_accuracy, slant_and_width, spearman
from minigrad.nn.adversarial import discriminator_loss, generator_loss
from minigrad.nn.utils import frozen
from models import judge

mg.manual_seed(0)
F = nn.functional

# %% [markdown]
# ## 1. What a discriminator must be told
#
# Real pairs of a condition and an image come from $p(y, x)$, generated ones from $q(y, x)$. The best
# discriminator's logit is $\ln p/q$, and its loss falls short of $2\ln 2$ by twice the Jensen-Shannon
# divergence of what it sees. Let there be two conditions and three images, and a generator that makes
# images in the right proportions but does not listen: $q(y, x) = p(y)\,p(x)$.

# %%
p = np.array([[0.30, 0.15, 0.05], [0.05, 0.10, 0.35]])  # a row for each condition
q = p.sum(1, keepdims=True) * p.sum(0)


def best_loss(p, q):
    d = p / (p + q)  # the best discriminator's probability of "real"
    return -(p * np.log(d)).sum() - (q * np.log(1 - d)).sum()


def jensen_shannon(p, q):
    m = (p + q) / 2
    return 0.5 * (p * np.log(p / m)).sum() + 0.5 * (q * np.log(q / m)).sum()


for name, a, b in (("is told", p, q), ("sees the image alone", p.sum(0), q.sum(0))):
    short = 2 * np.log(2) - best_loss(a, b)
    print(f"a discriminator that {name}: loss {best_loss(a, b):.4f}, JS {jensen_shannon(a, b):.4f}")
    assert np.isclose(short, 2 * jensen_shannon(a, b), atol=1e-12)

# The library's loss, of samples of both, with the best discriminator's logits ln p/q:
rng = np.random.default_rng(0)
real, fake = (rng.choice(6, 50_000, p=table.ravel()) for table in (p, q))
logits = np.log(p / q).ravel()
sampled = discriminator_loss(mg.tensor(logits[real]), mg.tensor(logits[fake])).item()
assert abs(sampled - best_loss(p, q)) < 0.01

# %% [markdown]
# The second line is $2\ln2$ and 0: a discriminator that sees images alone is content with a deaf
# generator, and telling *the generator* its class changes nothing. There are two remedies. CGAN tells
# the discriminator as well, so that it judges pairs. ACGAN asks it for the class.
#
# ## 2. The game, once for all of them
#
# Each learns with the other one frozen: neither weights nor the statistics of batch norm move. The
# discriminator has a score and an *answer*, a second head that some of the games use. A game is told
# by its two losses and by what the generator is given.

# %%
images, labels = MNIST(train=True).arrays()
test_images, test_labels = MNIST(train=False).arrays()


def small(x):  # (N, 1, 28, 28) -> (N, 196), means of 2 x 2 pixels
    return x.reshape(-1, 14, 2, 14, 2).mean((2, 4)).reshape(-1, 196)


def large(x):  # (N, 196) -> (N, 1, 28, 28), for the judge
    return F.interpolate(mg.as_tensor(x).reshape(-1, 1, 14, 14), scale_factor=2, mode="bilinear")


train_x, test_x = small(images), small(test_images)
floor = judge.recognised(large(test_x[:2000]), test_labels[:2000])
print(f"the judge recognises {100 * floor:.1f} % of real digits of this size")
assert floor > 0.97


class Generator(nn.Sequential):
    def __init__(self, inputs, outputs=196, hidden=256, last=nn.Sigmoid):
        super().__init__(
            *(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            *(nn.Linear(hidden, outputs), last()),
        )


class Discriminator(nn.Module):
    def __init__(self, inputs=196, answers=1, hidden=256):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Linear(inputs, hidden), nn.LeakyReLU(0.2), nn.Dropout(0.3)),
            *(nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Dropout(0.3)),
        )
        self.score, self.answer = nn.Linear(hidden, 1), nn.Linear(hidden, answers)

    def forward(self, *x):
        h = self.body(mg.cat(x, 1))
        return self.score(h).squeeze(1), self.answer(h)


def one_hot(y, classes=10):
    return F.one_hot(mg.as_tensor(y), classes).to(mg.float32)


def play(generator, discriminator, draw, loss_d, loss_g, steps, data=train_x, batch=64):
    """draw(n): the generator's inputs; loss_d(x, y, fake, inputs), loss_g(fake, inputs)."""
    adams = [
        optim.Adam(network.parameters(), lr=lr, betas=(0.5, 0.999))
        for network, lr in ((discriminator, 5e-4), (generator, 1e-3))
    ]
    for chosen in np.random.default_rng(0).integers(0, len(data), (steps, batch)):
        x, y = mg.tensor(data[chosen]), one_hot(labels[chosen])
        inputs = draw(batch)
        with mg.no_grad(), frozen(generator):
            fake = generator(mg.cat(inputs, 1))
        first = loss_d(x, y, fake, inputs)
        adams[0].zero_grad()
        first.backward()
        adams[0].step()
        inputs = draw(batch)
        fake = generator(mg.cat(inputs, 1))
        with frozen(discriminator):
            second = loss_g(fake, inputs)
        adams[1].zero_grad()
        second.backward()
        adams[1].step()
    generator.eval(), discriminator.eval()


# %% [markdown]
# ## 3. CGAN: judging pairs
#
# $$L_D = -\ln\sigma(D(x, y)) - \ln(1 - \sigma(D(G(z, c), c))), \qquad L_G = -\ln\sigma(D(G(z, c), c))$$
#
# The condition enters both networks as ten more inputs. No term says "make what is asked": a fine 7
# beside the word "three" is a forgery, that is all.

# %%
Z = 32


def draw(n, classes=None, generator=None):
    if classes is None:
        classes = mg.randint(10, (n,), generator=generator)
    return mg.randn(n, Z, generator=generator), one_hot(classes)


def adversarial(d, told):
    def score(x, c):
        return d(x, c)[0] if told else d(x)[0]

    def loss_d(x, y, fake, given):
        return discriminator_loss(score(x, y), score(fake, given[1]))

    return loss_d, lambda fake, given: generator_loss(score(fake, given[1]))


def to_order(generator, n=1000, draw=draw):
    """Digits 0, 1, ... 9, 0, ...: images and what was asked for."""
    asked = np.arange(n) % 10
    with mg.no_grad():
        return large(generator(mg.cat(draw(n, mg.tensor(asked), mg.Generator(1)), 1))), asked


def verdict(name, made, asked):
    right, diverse = judge.recognised(made, asked), judge.diversity(made, asked)
    print(f"{name:7} recognised as asked {100 * right:5.1f} %   diversity {diverse:.2f} of real")
    return right, diverse


cgan, pairs = Generator(Z + 10), Discriminator(196 + 10)
play(cgan, pairs, draw, *adversarial(pairs, told=True), steps=1200)
deaf, images_alone = Generator(Z + 10), Discriminator(196)
play(deaf, images_alone, draw, *adversarial(images_alone, told=False), steps=300)
of_cgan, of_deaf = verdict("CGAN", *to_order(cgan)), verdict("deaf", *to_order(deaf))
assert of_cgan[0] > 0.6 and of_cgan[1] > 0.4 and of_deaf[0] < 0.2

# %% [markdown]
# "Deaf" is the miss: a generator that is told the class, and a discriminator that is not. The same
# digits come whatever is asked for, right one time in ten.
#
# ## 4. ACGAN: asking for the class
#
# The discriminator sees the image alone and says the class with its second head, $p(c|x)$; *both*
# sides lower the cross-entropy, on real images against the label and on generated ones against what
# was asked for. The price: an image far from all other classes costs less than a typical one, so
# digits tend to be clear and alike: compare the two figures. Ten images, thirty times each, are
# recognised to 100 %, which is why the mean distance within a class stands beside the accuracy.

# %%
acgan, classifier = Generator(Z + 10), Discriminator(196, answers=10)


def acgan_d(x, y, fake, given):
    (on_real, of_real), (on_fake, of_fake) = classifier(x), classifier(fake)
    classes = F.cross_entropy(of_real, y) + F.cross_entropy(of_fake, given[1])
    return discriminator_loss(on_real, on_fake) + classes


def acgan_g(fake, given):
    on_fake, of_fake = classifier(fake)
    return generator_loss(on_fake) + F.cross_entropy(of_fake, given[1])


play(acgan, classifier, draw, acgan_d, acgan_g, steps=1000)
of_acgan = verdict("ACGAN", *to_order(acgan))
ten = np.stack([test_x[test_labels == k][3] for k in range(10)])
of_ten = verdict("ten", large(np.tile(ten, (30, 1))), np.arange(300) % 10)
assert of_acgan[0] > 0.6 and of_acgan[1] < of_cgan[1] and of_ten[0] > 0.99 and of_ten[1] < 1e-3


# %%
def show(rows, title, columns=10):
    figure, grid = plt.subplots(len(rows), columns, figsize=(9, 0.95 * len(rows) + 0.4))
    for axes, image in zip(np.ravel(grid), np.asarray(rows).reshape(-1, 28, 28)):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
        axes.axis("off")
    figure.suptitle(title, fontsize=10)
    plt.show()


def styles(generator, rows=2):
    """One noise a row, under each of the ten classes."""
    z = mg.randn(rows, Z, generator=mg.Generator(2)).numpy().repeat(10, axis=0)
    with mg.no_grad():
        made = generator(mg.cat([mg.tensor(z), one_hot(np.arange(10 * rows) % 10)], 1))
    return large(made).numpy().reshape(rows, 10, 28, 28)


show(np.concatenate([styles(cgan), styles(acgan)]), "one noise a row: two of CGAN, two of ACGAN")

# %% [markdown]
# ## 5. A bound on what an image tells
#
# Now nobody gives labels. Give the generator a code $c$ and ask for images that *tell* it, by mutual
# information $I(c; x) = H(c) - H(c|x)$. That needs the posterior $p(c|x)$. Put any $Q(c|x)$ in its
# place:
#
# $$H(c) + E \ln Q(c|x) = I(c; x) - E\,\mathrm{KL}(p(c|x)\,\|\,Q(c|x)) \le I(c; x).$$
#
# For a class this is $\ln 10$ less a cross-entropy, at most 2.303 nats. For a number it is the
# likelihood of a normal distribution around what Q reads. Check it where all is known: $u \sim
# N(0, \frac14)$, $x = u + N(0, \frac1{16})$, so that $I = \frac12 \ln(1 + 4) = 0.805$ nats and the
# posterior is $N(0.8\,x, 0.05)$. Q has a slope and a log-variance, and finds both.

# %%
n = 50_000
u = 0.5 * mg.randn(n, generator=mg.Generator(0))
x = u + 0.25 * mg.randn(n, generator=mg.Generator(1))
entropy = 0.5 * np.log(2 * np.pi * np.e * 0.25)
slope, log_var = mg.zeros(1, requires_grad=True), mg.zeros(1, requires_grad=True)
adam, bounds = optim.Adam([slope, log_var], lr=0.05), []
for _ in range(200):
    bound = entropy - F.gaussian_nll_loss(slope * x, u, log_var.exp().expand(n), full=True)
    adam.zero_grad()
    (-bound).backward()
    adam.step()
    bounds.append(bound.item())
exact = 0.5 * np.log(5)
print(f"bound {bounds[0]:.3f} -> {bounds[-1]:.3f}, information {exact:.3f} nats;  slope "
      f"{slope.item():.3f} (0.8), variance {log_var.exp().item():.4f} (0.05)")  # fmt: skip
assert abs(bounds[-1] - exact) < 0.02 and max(bounds) < exact + 0.02
assert abs(slope.item() - 0.8) < 0.02 and abs(log_var.exp().item() - 0.05) < 0.003

# %% [markdown]
# A popular InfoGAN has $-\frac1N\sum u \ln q$ with a sigmoid $q$ in the place of this. That is a
# cross-entropy if $u$ is a probability, but codes are negative half of the time. For those the "loss"
# falls without end as $q \to 0$, for the others it is least at $q = 1$: Q learns a sign, at best, and
# no number of nats comes out. The same code trains the class head with the *labels of real images*,
# and calls the result unsupervised. Here Q sees generated images only.

# %%
t = np.linspace(-12, 6, 100)
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
axes[0].plot(bounds)
axes[0].axhline(exact, linestyle="--", color="0.5")
axes[0].set(xlabel="step", ylabel="nats", title="The bound rises to the information")
for code in (-0.5, 0.5):
    axes[1].plot(t, code * np.log1p(np.exp(-t)), label=f"u = {code}")
axes[1].set(xlabel="Q's output before the sigmoid", title="The popular loss of a code")
axes[1].legend()
plt.show()

# %% [markdown]
# ## 6. InfoGAN: classes that nobody named
#
# $$L_D \text{ and } L_G \text{ of the game} \;\; - \; E\ln Q(c|G) \; - \; \lambda\,E\ln Q(u|G)$$
#
# with a class code $c$, two numbers $u \sim U(-1, 1)$, and Q a second head of the discriminator. To be
# done in seconds we take four kinds of digit and four codes. That the codes become the kinds is a
# discovery, or is not: nothing asks for it. We measure it on *real* test digits, under the best
# assignment of codes to digits, beside what k-means makes of the pixels.

# %%
KINDS, CODES, LAMBDA = (0, 1, 4, 7), 2, 0.25
some_x = train_x[np.isin(labels, KINDS)]
some_test, truth = (a[np.isin(test_labels, KINDS)] for a in (test_x, test_labels))
truth = np.searchsorted(KINDS, truth)


def draw_codes(n, classes=None, generator=None):
    if classes is None:
        classes = mg.randint(len(KINDS), (n,), generator=generator)
    u = 2 * mg.rand(n, CODES, generator=generator) - 1
    return mg.randn(n, Z // 2, generator=generator), one_hot(classes, len(KINDS)), u


def log_q(answer, given):
    logits, means = answer[:, : len(KINDS)], answer[:, len(KINDS) :]
    of_class = -F.cross_entropy(logits, given[1])
    return of_class, -CODES * F.gaussian_nll_loss(means, given[2], 0.5**2, full=True)


infogan = Generator(Z // 2 + len(KINDS) + CODES)
two_heads, nats = Discriminator(196, answers=len(KINDS) + CODES), []


def unsupervised(x, y, fake, given):  # y is not looked at
    on_fake, answer = two_heads(fake)
    of_class, of_codes = log_q(answer, given)
    nats.append(np.log(len(KINDS)) + of_class.item())
    return discriminator_loss(two_heads(x)[0], on_fake) - of_class - LAMBDA * of_codes


def visible(fake, given):
    on_fake, answer = two_heads(fake)
    of_class, of_codes = log_q(answer, given)
    return generator_loss(on_fake) - of_class - LAMBDA * of_codes


play(infogan, two_heads, draw_codes, unsupervised, visible, steps=1500, data=some_x)


# %%
def k_means(x, test, k, steps=30):
    centres = x[np.random.default_rng(0).choice(len(x), k, replace=False)]
    for _ in range(steps):
        nearest = ((centres**2).sum(1) - 2 * x @ centres.T).argmin(1)
        centres = np.stack([x[nearest == j].mean(0) for j in range(k)])
    return ((centres**2).sum(1) - 2 * test @ centres.T).argmin(1)


with mg.no_grad():
    given = draw_codes(2000, mg.arange(2000) % 4, mg.Generator(5))
    made = infogan(mg.cat(given, 1))
    read, on_real = two_heads(made)[1][:, :4].argmax(1), two_heads(mg.tensor(some_test))[1][:, :4]
recovered = (read.numpy() == np.arange(2000) % 4).mean()
purity = cluster_accuracy(truth, on_real.argmax(1))
by_k_means = cluster_accuracy(truth, k_means(some_x[:10_000], some_test, 4))
bound = np.mean(nats[-100:])
print(f"bound {bound:.3f} of ln 4 = {np.log(4):.3f} nats; code read back {100 * recovered:.1f} %")
print(f"real digits sorted {100 * purity:.1f} % (k-means {100 * by_k_means:.1f} %, chance 25 %)")
assert max(nats) <= np.log(4) + 1e-6 and bound > 1.2 and recovered > 0.95 and purity > 0.5

# %% [markdown]
# Classes are found, the names are not: which code is which digit is the assignment's to say. Clustering
# pixels sorts four kinds that differ in most of their pixels as well or better; what it cannot do is
# draw them. (On all ten digits k-means reaches 53 %; networks as small as these stayed near 40 %, and
# the paper reports 95 % of a larger one.)
#
# And what became of the two numbers? Draw many images, and rank-correlate each code with slant and
# width, measured from moments: with pixels as weights, slant is the slope of $x$ on $y$, width the
# deviation of $x$ without it. Within a class, averaged over the classes.

# %%
seen, u = slant_and_width(made.numpy().reshape(-1, 14, 14)), given[2].numpy()
found = {}
for code in range(CODES):
    for name, values in zip(("slant", "width"), seen):
        pairs = [(u[k::4, code], values[k::4]) for k in range(4)]
        found[f"code {code + 1} and {name}"] = np.mean([spearman(*pair) for pair in pairs])
print("rank correlations:", {name: round(float(value), 2) for name, value in found.items()})
assert max(abs(value) for value in found.values()) > 0.5


def traverse(code):
    """One noise and class a row; one code goes from -1 to 1."""
    z, c, u = (part.numpy() for part in draw_codes(4, mg.arange(4), mg.Generator(6)))
    z, c, u = (part.repeat(10, axis=0) for part in (z, c, u))
    u[:, code] = np.tile(np.linspace(-1, 1, 10), 4)
    with mg.no_grad():
        return large(infogan(mg.cat([mg.tensor(part) for part in (z, c, u)], 1))).numpy()


both = np.concatenate([traverse(0), traverse(1)])
show(
    both.reshape(8, 10, 28, 28),
    "one class code a row; above the first number goes from -1 to 1, below the second",
)

# %% [markdown]
# ## 7. StackedGAN: a classifier turned round
#
# An encoder learns to classify in two levels, image $\to$ features $h \to$ class, and stands still.
# Each level is inverted by a GAN of its own: $G_1$ makes features of a class and noise $z_1$, $G_0$
# an image of features and noise $z_0$. In training $G_1$ is given real labels and $G_0$ *real*
# features; to generate they are stacked. Three terms: the adversarial one; the encoder's error about
# what was given; and the noise read back by a second head, so that it is not ignored.

# %%
FEATURES, DEVIATION = 64, 0.5
to_features = nn.Sequential(nn.Linear(196, 128), nn.ReLU(), nn.Linear(128, FEATURES), nn.ReLU())
to_class = nn.Linear(FEATURES, 10)
encoder = nn.Sequential(to_features, to_class)
adam = optim.Adam(encoder.parameters(), lr=2e-3)
for chosen in np.random.default_rng(0).integers(0, 60000, (1200, 64)):
    loss = F.cross_entropy(encoder(mg.tensor(train_x[chosen])), mg.tensor(labels[chosen]))
    adam.zero_grad()
    loss.backward()
    adam.step()
encoder.requires_grad_(False)
with mg.no_grad():
    h_train = to_features(mg.tensor(train_x)).numpy()
    classified = (encoder(mg.tensor(test_x)).argmax(1).numpy() == test_labels).mean()
print(f"the encoder classifies {100 * classified:.1f} % of the test digits")
assert classified > 0.94

# %% [markdown]
# The upper level, twice. *Ours*: the noise head is linear and sees generated features only. *Popular*:
# it ends in a tanh, though 4.6 % of $N(0, \frac14)$ lie beyond $\pm1$; and for **real** features its
# target is the noise of a generated batch. Real features have no noise: the best answer to a target
# that is independent of the input is its mean, so half of the head's training says "always 0".


# %%
def upper_level(popular, steps=800):
    mg.manual_seed(0)
    g1 = Generator(10 + Z, FEATURES, last=nn.ReLU)
    d1 = Discriminator(FEATURES, answers=Z)
    last = (lambda a: a.tanh()) if popular else (lambda a: a)

    def draw_1(n, y=None):
        return (one_hot(mg.randint(10, (n,))) if y is None else y), DEVIATION * mg.randn(n, Z)

    def loss_d(h, y, fake, given):
        (on_real, from_real), (on_fake, from_fake) = d1(h), d1(fake)
        error = F.mse_loss(last(from_fake), given[1])
        if popular:
            error = (error + F.mse_loss(last(from_real), given[1])) / 2
        return discriminator_loss(on_real, on_fake) + 10 * error

    def loss_g(fake, given):
        on_fake, read = d1(fake)
        encoder_error = F.cross_entropy(to_class(fake), given[0])
        return generator_loss(on_fake) + encoder_error + 10 * F.mse_loss(last(read), given[1])

    play(g1, d1, draw_1, loss_d, loss_g, steps, data=h_train)
    with mg.no_grad():
        y, z = draw_1(2000)
        h = g1(mg.cat([y, z], 1))
        kept = float((to_class(h).argmax(1) == y.argmax(1)).to(mg.float32).mean())
        error = ((last(d1(h)[1]) - z) ** 2).mean().item() / DEVIATION**2
    return g1, kept, error


errors = {}
for name, popular in (("popular", True), ("ours", False)):
    g1, kept, errors[name] = upper_level(popular)
    print(
        f"{name:8} class kept {100 * kept:.1f} %, noise read back with {errors[name]:.2f} of its variance"
    )
assert kept > 0.97 and errors["ours"] < 0.5 < errors["popular"]

# %% [markdown]
# The lower level, then both stacked.

# %%
g0, d0 = Generator(FEATURES + Z), Discriminator(196, answers=Z)


def draw_0(n):
    """Features of real digits, drawn afresh, and noise."""
    chosen = mg.randint(60000, (n,)).numpy()
    return mg.tensor(h_train[chosen]), DEVIATION * mg.randn(n, Z)


def lower_d(x, y, fake, given):
    on_fake, read = d0(fake)
    return discriminator_loss(d0(x)[0], on_fake) + 10 * F.mse_loss(read, given[1])


def lower_g(fake, given):
    on_fake, read = d0(fake)
    encoder_error = F.mse_loss(to_features(fake), given[0])
    return generator_loss(on_fake) + encoder_error + 10 * F.mse_loss(read, given[1])


play(g0, d0, draw_0, lower_d, lower_g, steps=1200)
with mg.no_grad():
    asked = np.arange(1000) % 10
    h = g1(mg.cat([one_hot(asked), DEVIATION * mg.randn(1000, Z)], 1))
    stacked = large(g0(mg.cat([h, DEVIATION * mg.randn(1000, Z)], 1)))
of_stack = verdict("Stacked", stacked, asked)
assert of_stack[0] > 0.8
show(stacked[:20].numpy().reshape(2, 10, 28, 28), "StackedGAN, a class in each column")

# %% [markdown]
# ## Exercises
#
# 1. Let $p(y, x)$ be ½ on the diagonal of a 2 x 2 table: the image tells the condition. What does the
#    best discriminator that is told lose against a deaf generator?
# 2. Q says the right class with probability 0.95 and each other one with
#    0.05/9, and that is how often it is right. How many of the 2.303 nats is the bound?
# 3. Noise from $N(0, \frac14)$ is read back through a tanh that is perfect wherever it can be. Which
#    share of the variance is its error at least?

# %%
# Answers.
# 1: JS = 0.2158, so 2 ln 2 - 2 JS = 0.9548.
diagonal = np.array([[0.5, 1e-15], [1e-15, 0.5]])
assert abs(best_loss(diagonal, np.full((2, 2), 0.25)) - 0.9548) < 1e-4

# 2: ln 10 + 0.95 ln 0.95 + 0.05 ln(0.05 / 9) = 1.994. To be right 95 % of the time is not 2.1 nats.
assert abs(np.log(10) + 0.95 * np.log(0.95) + 0.05 * np.log(0.05 / 9) - 1.994) < 1e-3

# 3: what lies beyond 1 is read as 1: 1.2 %. Little; the other mistake of section 7 costs more.
z = 0.5 * np.random.default_rng(0).normal(size=1_000_000)
share = ((z - z.clip(-1, 1)) ** 2).mean() / 0.25
assert abs(share - 0.0115) < 0.001
print("all answers check")
