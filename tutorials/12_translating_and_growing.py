# %% [markdown]
# # Translating and growing: CycleGAN and ProGAN
#
# After this page you can
#
# - say what two domains without a single pair can teach, and what they cannot;
# - write CycleGAN's losses with ops, train four networks by them, and measure what a translation
#   keeps, with a judge that had no part in it;
# - show a translator whose cycle is perfect and which does nothing, and one whose cycle gets short
#   while the meaning of every digit is lost;
# - write the penalty of a critic's slope, whose gradient is one of a gradient;
# - say what the equalised learning rate, pixel norm and the minibatch deviation are for, and grow two
#   networks from 4 x 4 to 8 x 8 pixels without a jump.
#
# To stay quick we train small networks for some hundred steps; figures of longer runs stand in
# [models/RESULTS.md](../models/RESULTS.md).

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import MNIST
from minigrad.evaluation import frechet_distance
from minigrad.nn import adversarial
from minigrad.nn.utils import frozen
from minigrad.visualize import image_grid
from models import judge
from models.gan import cyclegan, progan
from models.gan.unet import PatchGAN, UNet

mg.manual_seed(0)
F = nn.functional

# %% [markdown]
# ## 1. What a cycle knows
#
# $G$ takes domain $A$ to $B$, $F$ takes $B$ to $A$. Of pairs $(a, b)$ that belong together we have
# none, only examples of each domain. Two things can be asked for:
#
# - $G(a)$ is distributed as $b$ is, and $F(b)$ as $a$ is (a critic for each domain sees to it);
# - nothing is lost there and back: $F(G(a)) = a$ and $G(F(b)) = b$.
#
# Do they fix the translation? Let both domains be uniform on $[0, 1]$. Then $G(a) = a$ meets both
# demands, and so does $G(a) = 1 - a$, and so does any permutation of equal pieces. With $n$ pieces
# there are $n!$ perfect translators, of which we mean one.

# %%
a = np.random.default_rng(0).random(100_000)
order = np.array([3, 0, 4, 1, 2])  # piece i of [0, 1] goes where piece order[i] was
back = np.argsort(order)


def permute(x, order):
    piece = np.minimum((5 * x).astype(int), 4)
    return (order[piece] + 5 * x - piece) / 5


b = permute(a, order)
print(f"|F(G(a)) - a|: {abs(permute(b, back) - a).max():.1e}")
print("deciles of a:   ", np.quantile(a, [0.1, 0.3, 0.5, 0.7, 0.9]).round(2))
print("deciles of G(a):", np.quantile(b, [0.1, 0.3, 0.5, 0.7, 0.9]).round(2))
print(f"correlation of a and G(a): {np.corrcoef(a, b)[0, 1]:.2f}")
assert abs(permute(b, back) - a).max() < 1e-12 and np.corrcoef(a, b)[0, 1] < 0.1
assert abs(np.quantile(a, 0.3) - np.quantile(b, 0.3)) < 0.01

# %% [markdown]
# What decides among them is what the networks find easy. So neither loss is evidence. We need
# domains whose right translation is known, though not to the networks, and somebody to ask.
#
# ## 2. Two domains with a judge
#
# $A$ is MNIST on 16 x 16 pixels, $B$ is inverted MNIST, of *other* digits. To judge $G(a)$ we invert
# it and ask `models/judge.py`, a classifier trained apart, which digit it is.

# %%
images, labels = MNIST(train=True).arrays()
digits = cyclegan.prepare(mg.tensor(images[:8000]), 16)
A, B = digits[:4000], 1 - digits[4000:]
test_images, test_labels = (x[:1000] for x in MNIST(train=False).arrays())
test_a = cyclegan.prepare(mg.tensor(test_images), 16)
test_b = 1 - test_a  # the counterparts, which no network is shown
best = judge.recognised(cyclegan.for_the_judge(test_a), test_labels)
print(f"the judge on digits of 16 x 16 pixels: {100 * best:.1f} %")

# %% [markdown]
# ## 3. The losses
#
# Both critics give a score to each of 4 x 4 parts of an image (PatchGAN), which should be 1 for real
# images and 0 for translations, by least squares:
#
# $$L_D = \tfrac12 \overline{(D_B(b) - 1)^2} + \tfrac12 \overline{D_B(G(a))^2} + \text{the same for }
#   D_A, \qquad L_G = \overline{(D_B(G(a)) - 1)^2} + \overline{(D_A(F(b)) - 1)^2}
#   + 10 \left( \overline{|F(G(a)) - a|} + \overline{|G(F(b)) - b|} \right).$$
#
# $G$ and $F$ are U-Nets: they shrink the image three times and enlarge it again, and each layer on the
# way back also sees what the way out had at its size. So where a stroke is need not pass the
# bottleneck. Frozen means frozen: in a step of the critics $G$ and $F$ stand still, and the other
# way round.


# %%
class Translators:
    """G and F with their critics; ``identity`` is the weight of |G(b) - b| + |F(a) - a|."""

    def __init__(self, identity=0.0):
        mg.manual_seed(0)
        self.make = cyclegan.Both(UNet(width=0.125), UNet(width=0.125))  # F makes a, G makes b
        self.critic = cyclegan.Both(PatchGAN(width=0.125), PatchGAN(width=0.125))
        self.identity = identity
        adam = {"lr": 1e-3, "betas": (0.5, 0.999)}
        self.optimizers = [optim.Adam(n.parameters(), **adam) for n in (self.critic, self.make)]

    def critics_loss(self, a, b):
        with mg.no_grad(), frozen(self.make):
            fake_a, fake_b = self.make.a(b), self.make.b(a)
        loss = 0
        for critic, real, fake in ((self.critic.a, a, fake_a), (self.critic.b, b, fake_b)):
            loss = loss + 0.5 * ((critic(real) - 1) ** 2).mean() + 0.5 * (critic(fake) ** 2).mean()
        return loss

    def translation_loss(self, a, b):
        with frozen(self.critic):
            fake_a, fake_b = self.make.a(b), self.make.b(a)
            loss = ((self.critic.a(fake_a) - 1) ** 2).mean()
            loss = loss + ((self.critic.b(fake_b) - 1) ** 2).mean()
        cycle = (self.make.a(fake_b) - a).abs().mean() + (self.make.b(fake_a) - b).abs().mean()
        loss = loss + 10 * cycle
        if self.identity:
            nothing = (self.make.b(b) - b).abs().mean() + (self.make.a(a) - a).abs().mean()
            loss = loss + self.identity * nothing
        return loss

    def fit(self, steps, batch=16):
        rng = np.random.default_rng(0)
        for _ in range(steps):
            a, b = (x[rng.integers(len(x), size=batch)] for x in (A, B))
            for optimizer, loss in zip(
                self.optimizers, (self.critics_loss, self.translation_loss), strict=True
            ):
                optimizer.zero_grad()
                loss(a, b).backward()
                optimizer.step()
        return self


# The family's model computes the same.
ours = Translators(identity=5.0)
config = cyclegan.Config(width=0.125, identity=5.0)
model = cyclegan.CycleGAN(config, "cpu")
model.generator, model.discriminator = ours.make, ours.critic
theirs, _ = model.translation_loss(A[:8], B[:8])
assert abs(ours.translation_loss(A[:8], B[:8]).item() - theirs.item()) < 1e-4

# %% [markdown]
# ## 4. The miss: doing nothing
#
# $G(a) = a$ and $F(b) = b$ have a perfect cycle. What finds them out are the critics, soon:


# %%
class Nothing(nn.Module):
    def forward(self, x):
        return x


lazy = Translators()
lazy.make = cyclegan.Both(Nothing(), Nothing())
for i in range(0, 960, 16):
    loss = lazy.critics_loss(A[i : i + 16], B[i : i + 16])
    lazy.optimizers[0].zero_grad()
    loss.backward()
    lazy.optimizers[0].step()
print(f"critics' loss: {loss.item() / 2:.3f} each (if translations pass for real: 0.25)")
assert loss.item() / 2 < 0.1

# %% [markdown]
# ## 5. Training
#
# 300 steps with 16 images of each domain.

# %%
good = Translators().fit(300)


def measure(translators):
    """L1 there and back, L1 to the counterpart, and the share of recognised translations."""
    make = translators.make
    with mg.no_grad():
        to_b, to_a = make.b(test_a), make.a(test_b)
        cycle = (make.a(to_b) - test_a).abs().mean() + (make.b(to_a) - test_b).abs().mean()
        counterpart = (to_b - test_b).abs().mean() + (to_a - test_a).abs().mean()
    seen = [cyclegan.for_the_judge(x) for x in (1 - to_b, to_a)]
    known = np.mean([judge.recognised(x, test_labels) for x in seen])
    return cycle.item() / 2, counterpart.item() / 2, float(known)


results = {"doing nothing": measure(lazy), "CycleGAN": measure(good)}
for name, (cycle, counterpart, known) in results.items():
    print(f"{name:14s} cycle {cycle:.3f}  counterpart {counterpart:.3f}  known {100 * known:.0f} %")
assert results["doing nothing"][0] == 0 and results["doing nothing"][1] > 0.8
assert results["CycleGAN"][0] < 0.08 and results["CycleGAN"][2] > 0.8


# %%
def show(translators):
    with mg.no_grad():
        a, b = test_a[:10], test_b[10:20]
        to_b, to_a = translators.make.b(a), translators.make.a(b)
        rows = {"a": a, "G(a)": to_b, "F(G(a))": translators.make.a(to_b)}
        rows |= {"b": b, "F(b)": to_a, "G(F(b))": translators.make.b(to_a)}
    grid = image_grid(mg.cat(list(rows.values()), 0), columns=10)  # rows of 16 pixels and 2 between
    figure, axes = plt.subplots(figsize=(6, 3.8))
    axes.imshow(grid, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=10 + 18 * np.arange(len(rows)), yticklabels=list(rows))
    plt.show()


show(good)

# %% [markdown]
# ## 6. A short cycle that proves nothing
#
# For paintings and photographs the paper adds $5\,(\overline{|G(b) - b|} + \overline{|F(a) - a|})$: what
# is in the domain already should be left alone. Popular code has it everywhere. Here it asks $G$ to
# leave dark strokes on white alone *and* to turn light strokes on dark into them. The networks find a
# way: they learn a code. $G(a)$ looks like some digit, the wrong one, and $F$ knows how to read it.

# %%
coded = Translators(identity=5.0).fit(200)
results["with |G(b) - b|"] = measure(coded)
for name, (cycle, counterpart, known) in results.items():
    print(f"{name:16s} cycle {cycle:.3f}  counterpart {counterpart:.3f}  known {100 * known:.0f} %")
assert results["with |G(b) - b|"][0] < 0.12 and results["with |G(b) - b|"][2] < 0.5
show(coded)

# %% [markdown]
# Three more mistakes of popular sources: they give the game the weight 10 and the cycle 1, the wrong
# way round; they put instance norm before the first convolution, which takes each image's contrast
# away before anybody has seen it; and they let the critics see only the newest translations, where
# the paper keeps a pool of 50. `python -m models.gan.cyclegan --help` has them as options.
#
# ## 7. The slope of a critic
#
# Now one domain, made from noise. ProGAN's critic has the loss of a WGAN, and a penalty for each
# image $y$ on the line between a real and a generated one:
#
# $$L_D = \overline{D(G(z))} - \overline{D(x)} + 10\, \overline{(\lVert \nabla_y D(y) \rVert - 1)^2}
#   + 0.001\, \overline{D(x)^2}.$$
#
# The penalty contains a gradient, and training needs *its* gradient: `create_graph=True` records the
# backward pass too.


# %%
def slope_penalty(critic, real, fake, u):
    y = (u * real + (1 - u) * fake).detach()
    y.requires_grad = True
    (gradient,) = mg.autograd.grad(critic(y).sum(), y, create_graph=True)
    norm = (gradient**2).sum((1, 2, 3)).sqrt()
    return ((norm - 1) ** 2).mean()


critic = progan.Discriminator((8, 8, 8, 8))
real, fake = mg.rand(4, 1, 32, 32), mg.rand(4, 1, 32, 32)
u = mg.rand(4, 1, 1, 1, generator=mg.Generator(1))
ours = slope_penalty(critic, real, fake, u)
library = adversarial.gradient_penalty(critic, real, fake, mg.Generator(1))
assert abs(ours.item() - library.item()) < 1e-5

ours.backward()  # through the gradient; held against a central difference along the gradient itself
weight = critic.blocks[0][1].weight
direction = weight.grad.data / np.sqrt((weight.grad.data**2).sum())
step, values = 1e-2, []
for sign in (1, -1):
    weight.data += sign * step * direction
    values.append(slope_penalty(critic, real, fake, u).item())
    weight.data -= sign * step * direction
numeric = (values[0] - values[1]) / (2 * step)
print(
    f"along the gradient: {numeric:.4f} by differences, {(weight.grad**2).sum().sqrt().item():.4f}"
)
assert abs(numeric - (weight.grad**2).sum().sqrt().item()) < 0.02 * abs(numeric) + 1e-4

# %% [markdown]
# ## 8. Weights of one size
#
# Adam moves each weight by about the learning rate, whatever the weight's size. First weights have a
# deviation of $\sqrt{2 / n}$ in a layer with $n$ inputs: a layer with many of them is changed by a
# larger part of itself. The *equalised* layer stores $w \sim N(0, 1)$ and computes with
# $w \sqrt{2/n}$. The outputs are the same, the steps are not:

# %%
for n in (16, 1024):
    layer = progan.Equalised(64, n)
    x = mg.randn(256, n)
    explicit = nn.Parameter(layer.weight.detach() * (2 / n) ** 0.5)
    assert np.allclose(layer(x).detach().numpy(), F.linear(x, explicit).detach().numpy(), atol=1e-4)
    changes = []
    for weight, scale, out in (
        (layer.weight, (2 / n) ** 0.5, layer(x)),
        (explicit, 1.0, F.linear(x, explicit)),
    ):
        optimizer, before = optim.Adam([weight], lr=0.01), scale * weight.detach().numpy().copy()
        (out**2).mean().backward()
        optimizer.step()
        changes.append(abs(scale * weight.detach().numpy() - before).mean() / before.std())
    print(f"{n:4d} inputs: one step changes {100 * changes[0]:.1f} % of what the equalised layer")
    print(f"{'':12s}computes with, {100 * changes[1]:.1f} % of an ordinary one")
    assert abs(changes[0] - 0.01) < 0.001 and abs(changes[1] - 0.01 * (n / 2) ** 0.5) < 0.02

# %% [markdown]
# ## 9. No batch norm
#
# The generator divides the channels of each pixel by the root of their mean square (pixel norm). The
# critic sees, as one more channel, how much the images of a group of four differ: a generator that
# makes one picture again and again betrays itself.

# %%
x = mg.randn(4, 3, 2, 2)
by_hand = x / ((x**2).mean(1, keepdim=True) + 1e-8).sqrt()
assert np.allclose(by_hand.numpy(), nn.PixelNorm()(x).numpy(), atol=1e-5)

deviation = ((x - x.mean(0)) ** 2).mean(0).sqrt().mean().item()
assert abs(nn.MinibatchStdDev(4)(x)[0, -1, 0, 0].item() - deviation) < 1e-5
same = nn.MinibatchStdDev(4)(x[:1].expand(4, 3, 2, 2))[0, -1, 0, 0].item()
print(f"deviation within four different images {deviation:.2f}, of the same four times {same:.4f}")
assert same < 1e-3

# %% [markdown]
# ## 10. Growing without a jump
#
# Both networks begin with 4 x 4 pixels. When 8 x 8 come, the new layers are beside the old way:
# $a \cdot \text{new} + (1 - a) \cdot \text{old, enlarged}$, with $a$ from 0 to 1. At $a = 0$ nothing has
# changed, to the last bit.

# %%
generator, z = progan.Generator(20, (16, 16, 8, 4)), mg.randn(6, 20)
with mg.no_grad():
    generator.stage = 1
    small = progan.up(generator(z))
    generator.stage, fading = 2, []
    for generator.alpha in (0.0, 0.5, 1.0):
        fading.append(generator(z))
assert fading[0].numpy().tobytes() == small.numpy().tobytes()
assert np.allclose(fading[1].numpy(), (fading[0].numpy() + fading[2].numpy()) / 2, atol=1e-6)

# %% [markdown]
# The model's game sets stage and $a$ before each step. Real images are shrunk as much as the stage
# asks. A score at 8 x 8 pixels means nothing by itself: beside it stands that of real digits of this
# size, and beside the distance of the judge's features (Fréchet) that of the untrained network.

# %%
STEPS = 300  # at each size; a new layer fades in during the first half of them
mg.manual_seed(0)
config = progan.Config(width=0.125, latent=32, ema=0.99, batch_size=16, lr=3e-3)
game = progan.ProGAN(config, "cpu", stage_steps=STEPS)
train, held_out = mg.tensor(images[:8000]), mg.tensor(images[8000:9000])


def look(step):
    game.before_step(step)
    made, real = game.samples(500)[0], game.real(held_out)
    distance = frechet_distance(judge.features(made), judge.features(real))
    return judge.score(made), judge.score(real), distance, made[:12]


ends = [STEPS - 1, 2 * STEPS - 1]  # the last steps with 4 and with 8 pixels
untrained, trained = [look(step) for step in ends], []
rng = np.random.default_rng(0)
for step in range(2 * STEPS):
    game.before_step(step)
    game.discriminator_step(train[rng.integers(8000, size=16)], mg.zeros(16))
    game.generator_step(16)
    if step in ends:
        trained.append(look(step))
for pixels, before, after in zip((4, 8), untrained, trained):
    print(f"{pixels} pixels: score {after[0]:.2f} (real digits {after[1]:.2f}), "
          f"distance {after[2]:.2f} (untrained {before[2]:.2f})")  # fmt: skip
assert [round(real) for _, real, *_ in trained] == [2, 4]
assert all(after[2] < 0.5 * before[2] for before, after in zip(untrained, trained))

# %%
figure, axes = plt.subplots(figsize=(7, 1.5))
axes.imshow(image_grid(np.concatenate([row[3] for row in trained]), columns=12), cmap="gray")
axes.axis("off")
axes.set_title("the same noise at the end of 4 and of 8 pixels", fontsize=10)
plt.show()

# %% [markdown]
# Where the ink is, and how it hangs together; no digits yet. `python -m models.gan.progan` takes more
# steps and goes on to 32 x 32.
#
# ## Exercises
#
# 1. Two domains have three equally frequent images each. How many pairs $(G, F)$ have no loss at all,
#    and in how many of them does $G$ get at least one image right?
# 2. A generator makes the same image for all noise. Which channel of the critic's input to its last
#    layers says so, and what is its value?
# 3. Real images at $a = 0$ of the stage with 32 pixels: how many different values can a block of 2 x 2
#    pixels have, and why must it be so?

# %%
# Answers.
# 1: 3! = 6 permutations; all but the two cyclic ones leave some image where it belongs.
from itertools import permutations

ways = list(permutations(range(3)))
assert len(ways) == 6 and sum(any(i == g for i, g in enumerate(way)) for way in ways) == 4

# 2: the last one, the minibatch deviation: 0, but for the 1e-8 under the root.
assert abs(same - 1e-4) < 1e-6

# 3: one. They are as coarse as the generator's at this moment; a critic that saw finer ones would
# tell them from generated ones by that alone, and the fading in would be for nothing.
game.before_step(3 * STEPS)  # the first step with 32 pixels
blocks = game.shrink(train[:8]).numpy().reshape(8, 16, 2, 16, 2)
assert (game.pixels, game.alpha) == (32, 0.0) and np.ptp(blocks, axis=(2, 4)).max() == 0
print("all answers check")
