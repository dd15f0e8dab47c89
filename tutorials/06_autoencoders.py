# %% [markdown]
# # Autoencoders
#
# After this page you can
#
# - say what a *linear* method makes of a code of 2 or 16 numbers, before you praise a network;
# - show that a linear autoencoder is PCA in oblique coordinates, and derive its gradient;
# - read a cross-entropy on grey pixels: how low it can be, and why not 0;
# - look at a latent plane, and tell what the images did from what a ReLU did;
# - train a network to remove noise, and not to draw it;
# - let a classifier share the code, and say what that costs;
# - say why an autoencoder's decoder is not a generator.
#
# You need [A first network](03_first_network.ipynb). We train on 10,000 images of MNIST to stay
# quick; the figures for all of them are in [models/RESULTS.md](../models/RESULTS.md), the models in
# `models/autoencoders/`.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import MNIST, DataLoader, TensorDataset
from minigrad.evaluation import PCA, LinearMap, knn_accuracy

mg.manual_seed(0)
F = nn.functional

images, labels = MNIST(train=True).arrays(flatten=True)  # (60000, 784) in [0, 1]
order = np.random.default_rng(0).permutation(60000)
train_x, train_y = images[order[:10000]], labels[order[:10000]]
test_x, test_y = MNIST(train=False).arrays(flatten=True)


def show(rows, title=""):
    r"""Rows of ten images, a label before each."""
    figure, grid = plt.subplots(len(rows), 10, figsize=(9, 0.95 * len(rows) + 0.3))
    for line, (name, x) in zip(np.atleast_2d(grid), rows.items()):
        for axes, image in zip(line, np.asarray(x)):
            axes.imshow(image.reshape(28, 28), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.suptitle(title)
    plt.show()


# %% [markdown]
# ## 1. What has to be beaten
#
# An autoencoder makes a *code* $z$ of an image $x$, an image $\hat x$ of the code, and is trained to
# make *that image* come back: $\frac1N \sum_n |\hat x_n - x_n|^2$ small. (Popular texts say that it
# "makes the distributions of $x$ and $\hat x$ similar". It does not: shuffled images would have the
# same distribution, and an enormous error.) If both maps are linear, the best there is can be
# computed: the principal components.

# %%
mean_image = train_x.mean(0)
miss = {"mean image": float(((test_x - mean_image) ** 2).mean())}
for k in (2, 16, 32):
    miss[f"PCA, {k} numbers"] = PCA(train_x, k).mse(test_x)
print({name: round(value, 4) for name, value in miss.items()})
assert 0.066 < miss["mean image"] < 0.069 and 0.055 < miss["PCA, 2 numbers"] < 0.057

# %% [markdown]
# An error of .05 with two numbers sounds small and is nearly nothing: the mean image has .0675.
# **Compare with PCA of the same width**, or say nothing.
#
# ## 2. A linear autoencoder is PCA
#
# Let $\hat x = W_2 W_1 x$ for centred $x$. With the error $e = \hat x - x$ and the mean over $N$
# images and $D$ pixels, the chain rule gives
#
# $$L = \frac{1}{ND} \sum_n |e_n|^2, \qquad \frac{\partial L}{\partial W_2} = \frac{2}{ND} \sum_n e_n z_n^\top,
# \qquad \frac{\partial L}{\partial W_1} = \frac{2}{ND} \sum_n W_2^\top e_n x_n^\top.$$
#
# Both gradients vanish where $W_2 W_1$ projects on a plane of eigenvectors of the covariance, and
# Baldi and Hornik (1989) showed that the only one that is a *minimum* is that of the largest
# eigenvalues. The weights themselves are not determined: $(A W_1, W_2 A^{-1})$ does the same for any
# invertible $A$. We try it on points in space that lie near a plane.

# %%
rng = np.random.default_rng(1)
basis = np.array([[1.0, 0.0, 0.1], [0.0, 1.0, 0.3]])
points = (rng.normal(size=(500, 2)) * [1.0, 0.5]) @ basis + 0.1 * rng.normal(size=(500, 3))
points = points - points.mean(0)

W1 = mg.tensor(rng.normal(size=(2, 3)), requires_grad=True)
W2 = mg.tensor(rng.normal(size=(3, 2)), requires_grad=True)
x = mg.tensor(points)
for step in range(3000):
    loss = ((x @ W1.T @ W2.T - x) ** 2).mean()
    W1.grad = W2.grad = None
    loss.backward()
    if step == 0:  # by hand, the same
        z, e = points @ W1.detach().numpy().T, (x @ W1.T @ W2.T - x).detach().numpy()
        assert np.allclose(W2.grad.numpy(), 2 / points.size * e.T @ z)
        assert np.allclose(W1.grad.numpy(), 2 / points.size * (e @ W2.detach().numpy()).T @ points)
    W1.data -= 0.5 * W1.grad.data
    W2.data -= 0.5 * W2.grad.data

pca = PCA(points, 2)
columns = np.linalg.qr(W2.detach().numpy())[0]
cosines = np.linalg.svd(columns.T @ pca.components.T, compute_uv=False)
angle = np.degrees(np.arccos(min(1.0, cosines.min())))
print(
    f"error {loss.item():.5f}, PCA's {pca.mse(points):.5f}; angle between the planes {angle:.2f}°"
)
print(
    "its own columns, though, have the cosine",
    round(float(np.prod(columns[:, 0] @ pca.components.T)), 2),
)
assert loss.item() < 1.001 * pca.mse(points) and angle < 1

# %% [markdown]
# Nothing was gained, and a long computation was lost. What a network can add begins with a
# non-linearity *between* the layers.
#
# ## 3. The loss on grey pixels
#
# Pixels are in $[0, 1]$, so the decoder ends in a sigmoid, $p = \sigma(a)$, and two losses are
# common: $(p - x)^2$, and the cross-entropy $-x \ln p - (1-x) \ln(1-p)$. Their gradients by the
# logit $a$ are
#
# $$2 (p - x)\, p (1 - p) \qquad\text{and}\qquad p - x.$$
#
# The first fades where the network is sure, right or wrong; the second does not. But the second
# cannot reach 0: its minimum over $p$ is at $p = x$, where it is the entropy of the pixel.

# %%
a = mg.tensor(rng.normal(size=7) * 3, requires_grad=True)
target = mg.tensor(rng.random(7))
F.binary_cross_entropy_with_logits(a, target, reduction="sum").backward()
p = 1 / (1 + np.exp(-a.detach().numpy()))
assert np.allclose(a.grad.numpy(), p - target.numpy())


def entropy(x):
    r"""Mean of -x ln x - (1 - x) ln (1 - x) over all pixels."""
    inside = np.where((x > 0) & (x < 1), x, 0.5)
    value = -inside * np.log(inside) - (1 - inside) * np.log(1 - inside)
    return float(np.where((x > 0) & (x < 1), value, 0).mean())


floor = entropy(test_x.astype(np.float64))
q = np.clip(mean_image, 1e-6, 1 - 1e-6)
mean_bce = float(-(test_x * np.log(q) + (1 - test_x) * np.log(1 - q)).mean())
print(
    f"a perfect copy costs {floor:.4f} nats a pixel ({784 * floor:.1f} an image), the mean image {mean_bce:.3f}"
)
assert abs(floor - 0.0581) < 1e-3

# %% [markdown]
# So a reported ".08" is .02 above perfect, and whoever reports less than .058 on these images has
# a bug. It also says that losses of *different* data are not comparable: for Fashion-MNIST, with
# more grey, the floor is .24.
#
# ## 4. Two numbers, and the plane they span
#
# The encoder 784-128-64-2, by ops alone, and then as the library's layers, from the same weights:


# %%
def make_autoencoder(code=2, code_relu=False, seed=0):
    mg.manual_seed(seed)
    encoder = [
        nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, code),
    ]  # fmt: skip
    decoder = [
        nn.Linear(code, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 784),
    ]  # fmt: skip
    if code_relu:
        encoder.append(nn.ReLU())
    model = nn.Sequential(nn.Sequential(*encoder), nn.Sequential(*decoder, nn.Sigmoid()))
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


model = make_autoencoder()
h = mg.tensor(test_x[:5])
weights = list(model.parameters())
for i, (w, b) in enumerate(zip(weights[::2], weights[1::2])):
    h = h @ w.T + b
    if i not in (2, 5):  # neither after the code nor at the end
        h = h * (h > 0).float()
by_ops = 1 / (1 + (-h).exp())
assert np.allclose(
    by_ops.detach().numpy(), model(mg.tensor(test_x[:5])).detach().numpy(), atol=1e-6
)
print(sum(p.numel() for p in weights), "parameters; by ops and by layers: the same images")
assert sum(p.numel() for p in weights) == 218_514

# %% [markdown]
# One loop for all that follows. `objective(model, x, y)` gives the loss of a batch; the rate falls
# to 0 along half a cosine.


# %%
def fit(model, objective, epochs=8, lr=2e-3, batch_size=64):
    loader = DataLoader(TensorDataset(train_x, train_y), batch_size, shuffle=True)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    for _ in range(epochs):
        for x, y in loader:
            loss = objective(model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


def run(module, x):
    with mg.no_grad():
        return module(mg.tensor(x)).numpy()


def error(model, x=test_x):
    return float(((run(model, x) - test_x) ** 2).mean())


def copy_loss(model, x, y):
    return ((model(x) - x) ** 2).mean()


linear = fit(make_autoencoder(), copy_loss)
relu = fit(make_autoencoder(code_relu=True), copy_loss)
errors = {"linear code": error(linear), "ReLU code": error(relu), "PCA": miss["PCA, 2 numbers"]}
print({name: round(value, 4) for name, value in errors.items()})
assert errors["linear code"] < errors["ReLU code"] < errors["PCA"]

# %%
figure, panels = plt.subplots(1, 2, figsize=(10, 4.6))
for axes, (name, net) in zip(panels, {"linear": linear, "ReLU": relu}.items()):
    codes = run(net[0], test_x[:4000])
    points = axes.scatter(*codes.T, c=test_y[:4000], cmap="tab10", s=3)
    low, high = np.percentile(codes, [1, 99], axis=0)
    axes.set(
        title=f"{name} code",
        xlabel="$z_1$",
        ylabel="$z_2$",
        xlim=(low[0] - 1, high[0] + 1),
        ylim=(low[1] - 1, high[1] + 1),
    )
figure.colorbar(points, ax=panels, label="digit")
plt.show()

# %% [markdown]
# A popular repository shows the picture on the right and explains that "the distribution is linear,
# because height and width of the digits increase linearly". Look at the encoder instead: it ends in
# a ReLU. Its codes cannot leave the quadrant $z \ge 0$, so all digits share a quarter of the
# directions, in narrow rays that start in the corner and seem to climb together. Where a unit is
# off, the code lies *exactly on an axis*, and no gradient comes back through that unit. The images
# did nothing of this, and the error is higher for it. **No ReLU before a code.**

# %%
on_axes = {
    name: float((run(net[0], test_x) == 0).any(1).mean())
    for name, net in {"linear": linear, "ReLU": relu}.items()
}
known, found = run(linear[0], train_x), run(linear[0], test_x)
neighbours = knn_accuracy(found, test_y, known, train_y)
print("share of codes exactly on an axis:", {k: round(v, 3) for k, v in on_axes.items()})
print(f"digits recognised by their neighbours in the plane: {100 * neighbours:.0f} % (chance 10 %)")
assert on_axes["linear"] == 0 < 0.005 < on_axes["ReLU"] and neighbours > 0.5

# %% [markdown]
# ## 5. A decoder is not a generator
#
# Nothing in the loss says where codes should lie, how far apart, or what the decoder should do in
# between. With 16 numbers the error is far below PCA's; yet codes drawn from a Gaussian with the
# codes' own mean and covariance decode to something that is not quite a digit.

# %%
wide = fit(make_autoencoder(code=16), copy_loss)
codes = run(wide[0], train_x)
drawn = rng.multivariate_normal(codes.mean(0), np.cov(codes.T), 10).astype(np.float32)
print(f"16 numbers: {error(wide):.4f}, PCA {miss['PCA, 16 numbers']:.4f}")
show({"test": test_x[:10], "decoded": run(wide, test_x[:10]), "codes drawn": run(wide[1], drawn)})
assert error(wide) < 0.9 * miss["PCA, 16 numbers"]

# %% [markdown]
# That gap is what a [variational autoencoder](07_variational_autoencoders.ipynb) closes: it makes the
# codes fill a known distribution, and pays for it in the error.
#
# ## 6. Removing noise
#
# Damage the input, keep the *clean* image as the target (Vincent et al., 2008):
#
# $$\tilde x = \mathrm{clip}(x + 0.5 + 0.5\,\epsilon,\ 0,\ 1), \qquad
# L = |\hat x(\tilde x) - x|^2.$$
#
# The best answer to a squared error is the conditional mean $E[x \mid \tilde x]$, which is blurred
# where the noise leaves doubt. The bar is the best linear map from noisy to clean pixels. Two
# mistakes are popular: the noisy image as target, and no clip. Here is the first one beside the
# right way, in a network of one wide hidden layer.


# %%
def add_noise(x, generator=None):
    eps = mg.randn(*x.shape, generator=generator)
    return (x + 0.5 + 0.5 * eps).clip(0, 1)


def denoise_loss(model, x, y):
    return ((model(add_noise(x)) - x) ** 2).mean()


def wrong_loss(model, x, y):
    noisy = add_noise(x)
    return ((model(noisy) - noisy) ** 2).mean()


def one_layer(hidden=512):
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 784), nn.Sigmoid())
    for layer in (model[0], model[2]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return model


noisy_train = add_noise(mg.tensor(train_x), mg.Generator(1)).numpy()
noisy_test = add_noise(mg.tensor(test_x), mg.Generator(2)).numpy()
denoiser = fit(one_layer(), denoise_loss, epochs=12)
wrong = fit(one_layer(), wrong_loss, epochs=3)
table = {
    "as it is": float(((noisy_test - test_x) ** 2).mean()),
    "noise as target": error(wrong, noisy_test),
    "the autoencoder of section 5": error(wide, noisy_test),
    "best linear map": LinearMap(noisy_train, train_x, ridge=1e-3).mse(noisy_test, test_x),
    "denoising autoencoder": error(denoiser, noisy_test),
}
for name, value in table.items():
    print(f"{value:.4f}  {name}")
assert table["denoising autoencoder"] < table["best linear map"] < table["noise as target"]

# %%
show(
    {
        "clean": test_x[:10], "noisy": noisy_test[:10],
        "denoised": run(denoiser, noisy_test[:10]), "wrong target": run(wrong, noisy_test[:10]),
    }
)  # fmt: skip

# %% [markdown]
# `python -m models.autoencoders.denoising` does it with convolutions and all images.
#
# The denoiser is also the answer to a question that is rarely asked: *why have a bottleneck?* A
# code as wide as the image lets a plain autoencoder copy, and its error says nothing. Noise on the
# input forbids copying whatever the width.
#
# ## 7. A classifier on the code
#
# Ten logits from the two numbers, $L = |\hat x - x|^2 + 0.1 \cdot \text{cross-entropy}$: both
# losses pull at the same code.


# %%
class WithClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.autoencoder = make_autoencoder()
        self.classifier = nn.Linear(2, 10)


def both_losses(model, x, y):
    z = model.autoencoder[0](x)  # one code for both
    pixels = ((model.autoencoder[1](z) - x) ** 2).mean()
    return pixels + 0.1 * F.cross_entropy(model.classifier(z), y)


shared = fit(WithClassifier(), both_losses, epochs=12)
codes = run(shared.autoencoder[0], test_x)
accuracy = float((run(shared.classifier, codes).argmax(1) == test_y).mean())
print(
    f"accuracy from two numbers {100 * accuracy:.1f} %, without the second loss by neighbours {100 * neighbours:.1f} %"
)
print(
    f"squared error {error(shared.autoencoder):.4f}, without the second loss {errors['linear code']:.4f}"
)
assert accuracy > 0.85 > neighbours

plt.figure(figsize=(5.4, 4.4))
plt.scatter(*codes[:4000].T, c=test_y[:4000], cmap="tab10", s=3)
plt.colorbar(label="digit")
plt.gca().set(xlabel="$z_1$", ylabel="$z_2$", title="With a classifier")
plt.show()

# %% [markdown]
# Ten linear functions of two numbers cut the plane into convex pieces, hence the rays. On the way
# along a ray the style of a digit changes. Two mistakes to avoid in the report: to call the
# falling *loss* an accuracy, and to give the accuracy on training images.
#
# ## Exercises
#
# 1. How many parameters has a 784-$k$-784 autoencoder with biases? And which $k$ lets it copy any
#    image exactly, if it is linear?
# 2. An autoencoder on states (position in $[-1.2, 0.6]$, velocity in $[-0.07, 0.07]$, both uniform)
#    returns the position exactly and 0 as velocity. What is its mean squared error, and what is its
#    $R^2$ for each coordinate? (`models/autoencoders/state.py`)
# 3. A background pixel of 0 becomes $\mathrm{clip}(0.5 + 0.5\,\epsilon, 0, 1)$. What is its mean,
#    and how often is it exactly 1?

# %%
# Answers.
# 1: 2 * 784 k + k + 784; k = 784 suffices, less does not: the rank of W2 W1 is at most k.
k = 32
layers = nn.Sequential(nn.Linear(784, k), nn.Linear(k, 784))
assert sum(p.numel() for p in layers.parameters()) == 2 * 784 * k + k + 784 == 50_992

# 2: half of the velocity's variance, .14² / 12 / 2 = .0008; R² is 1 and 0.
states = rng.uniform([-1.2, -0.07], [0.6, 0.07], (100_000, 2))
forgetful = states * [1, 0]
assert abs(((forgetful - states) ** 2).mean() - 0.14**2 / 12 / 2) < 1e-5
r2 = 1 - ((forgetful - states) ** 2).mean(0) / states.var(0)
assert r2[0] == 1 and abs(r2[1]) < 0.01

# 3: 1/2 by symmetry; P(eps > 1) = 15.9 %.
pixel = add_noise(mg.zeros(200_000), mg.Generator(0)).numpy()
assert abs(pixel.mean() - 0.5) < 0.005 and abs((pixel == 1).mean() - 0.1587) < 0.003
print("all answers check")
