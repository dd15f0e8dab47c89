# %% [markdown]
# # A first network
#
# After this page you can
#
# - say what a method *without* a network reaches on the same data, before you praise the network;
# - derive the cross-entropy on logits and its gradient, and say why it is computed on logits;
# - write the training loop, first with the optimiser by hand, then with the library's;
# - see overfitting in two curves, and what dropout does about it;
# - use a test set once.
#
# The data are the 70,000 handwritten digits of MNIST, which ship with minigrad. To stay quick we
# train on 10,000 of them; figures on all of them stand in [models/RESULTS.md](../models/RESULTS.md).

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import MNIST, DataLoader, TensorDataset

mg.manual_seed(0)
F = nn.functional

# %% [markdown]
# ## 1. Look at the data, and divide it
#
# Three parts with three purposes: the *training* images set the weights, the *validation* images
# choose between alternatives (how long, how much dropout), the *test* images are looked at once, at
# the end. Choosing by test accuracy, as many published notebooks do, reports the luck of the choice.

# %%
images, labels = MNIST(train=True).arrays(flatten=True)  # (60000, 784) in [0, 1], (60000,)
order = np.random.default_rng(0).permutation(60000)
train_x, train_y = images[order[:10000]], labels[order[:10000]]
val_x, val_y = images[order[10000:15000]], labels[order[10000:15000]]
test_x, test_y = MNIST(train=False).arrays(flatten=True)

figure, grid = plt.subplots(2, 10, figsize=(9, 2.1))
for axes, image, label in zip(grid.flat, train_x, train_y):
    axes.imshow(image.reshape(28, 28), cmap="gray_r")
    axes.set_title(int(label), fontsize=9)
    axes.axis("off")
plt.show()

# %% [markdown]
# ## 2. What a network has to beat
#
# *Centroids*: the mean image of each class; an image gets the class of the nearest mean. *Ridge
# regression*: the linear map that comes closest, in squares, to the one-hot labels, in closed form,
# $W = (X^\top X + \lambda I)^{-1} X^\top Y$. No iteration, no learning rate.


# %%
def accuracy(scores, labels):
    return float((np.asarray(scores).argmax(1) == labels).mean())


means = np.stack([train_x[train_y == digit].mean(0) for digit in range(10)])  # (10, 784)
centroid_scores = 2 * val_x @ means.T - (means**2).sum(1)  # largest where |x - mean|² is smallest

with_one = np.hstack([train_x, np.ones((len(train_x), 1), np.float32)]).astype(np.float64)
one_hot = np.eye(10)[train_y]
W = np.linalg.solve(with_one.T @ with_one + 10 * np.eye(785), with_one.T @ one_hot)
ridge_scores = val_x @ W[:-1] + W[-1]

miss = {"centroids": accuracy(centroid_scores, val_y), "ridge": accuracy(ridge_scores, val_y)}
print({name: f"{100 * value:.1f} %" for name, value in miss.items()})
assert 0.78 < miss["centroids"] < 0.85 and 0.82 < miss["ridge"] < 0.88

# %% [markdown]
# **81 % and 85 % come for free** (on all 60,000 images ridge regression reaches 86.0 %). A network
# that reports 90 % has not learnt much, and one that reports 80 % has a bug.
#
# ## 3. The loss, on logits
#
# The network gives ten numbers per image, the *logits* $x$. Softmax makes probabilities of them,
# $p_c = e^{x_c} / \sum_j e^{x_j}$, and the loss is minus the log-probability of the label $t$:
#
# $$l = -\ln p_t = \ln \sum_j e^{x_j} - x_t, \qquad
# \frac{\partial l}{\partial x_c} = p_c - [c = t].$$
#
# The gradient is simply *what was said minus what was right*. Two popular mistakes:
#
# - softmax first and logarithm later: for logits of a few hundred $p_t$ underflows to 0 and the
#   loss is infinite, though $\ln\sum e^{x_j} - x_t$ is an ordinary number;
# - softmax inside the network *and* in the loss: no error message, only slow learning, because
#   the loss then never sees logits further apart than 1.

# %%
x = mg.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
target = mg.tensor([1])
with np.errstate(divide="ignore"):
    naive = -np.log(mg.softmax(x, 1).detach().numpy()[0, 1])
stable = F.cross_entropy(x, target)
stable.backward()
print("softmax, then log:", naive, "  on logits:", stable.item(), "  gradient:", x.grad.tolist())
assert np.isinf(naive) and stable.item() == 600.0
assert np.allclose(x.grad.numpy(), mg.softmax(x, 1).detach().numpy() - [[0, 1, 0]])

# %% [markdown]
# At the start the logits are near 0, so the loss should be near $\ln 10 = 2.303$. Check that first:
# another number means a bug before training has begun.
#
# ## 4. The training loop, with the optimiser by hand
#
# Adam keeps running means of the gradient and of its square, corrects them for having started at 0,
# and steps by their ratio (Kingma and Ba, 2015):
#
# $$m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) g^2, \quad
# \theta \leftarrow \theta - \eta\, \frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \epsilon}.$$


# %%
def make_mlp(hidden=256, dropout=0.0, seed=0):
    mg.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(784, hidden), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(hidden, 10),
    )  # fmt: skip


def adam_by_hand(parameters, state, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    state["t"] = t = state.get("t", 0) + 1
    for i, p in enumerate(parameters):
        m, v = state.get(i, (0.0, 0.0))
        g = p.grad.numpy()
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        state[i] = m, v
        p.data = p.data - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)


by_hand, by_library = make_mlp(), make_mlp()
optimizer, state = optim.Adam(by_library.parameters(), lr=1e-3), {}
first = F.cross_entropy(by_hand(mg.tensor(train_x[:128])), mg.tensor(train_y[:128])).item()
print(f"loss before training {first:.3f}, ln 10 = {np.log(10):.3f}")
assert abs(first - np.log(10)) < 0.1

for start in range(0, 640, 128):
    batch, target = mg.tensor(train_x[start : start + 128]), mg.tensor(train_y[start : start + 128])
    for model in (by_hand, by_library):
        for p in model.parameters():
            p.grad = None  # gradients add up: forgetting this mixes the steps
        F.cross_entropy(model(batch), target).backward()
    adam_by_hand(list(by_hand.parameters()), state)
    optimizer.step()

for ours, theirs in zip(by_hand.parameters(), by_library.parameters()):
    assert np.allclose(ours.detach().numpy(), theirs.detach().numpy(), atol=1e-5)
print("five steps by hand and by optim.Adam: the same weights")

# %% [markdown]
# ## 5. Train, and watch two curves
#
# One loop for all that follows. `train()` and `eval()` switch dropout; `no_grad()` because nobody
# will ask for gradients of the validation loss.


# %%
def evaluate(model, x, y):
    model.eval()
    with mg.no_grad():
        logits = model(mg.tensor(x))
        loss = F.cross_entropy(logits, mg.tensor(y)).item()
    model.train()
    return loss, accuracy(logits.numpy(), y)


def fit(model, x, y, epochs, lr=1e-3):
    loader = DataLoader(TensorDataset(x, y), batch_size=128, shuffle=True)
    optimizer = optim.Adam(model.parameters(), lr=lr)
    curves = {"training": [], "validation": []}
    for _ in range(epochs):
        for batch, target in loader:
            loss = F.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        curves["training"].append(evaluate(model, x, y)[0])
        curves["validation"].append(evaluate(model, val_x, val_y)[0])
    return curves


small_x, small_y = train_x[:1000], train_y[:1000]
plain, dropped = make_mlp(), make_mlp(dropout=0.5)
runs = {
    "1,000 images, no dropout": fit(plain, small_x, small_y, 40),
    "1,000 images, dropout 0.5": fit(dropped, small_x, small_y, 40),
}

# %%
figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for axes, (title, curves) in zip(panels, runs.items()):
    for name, values in curves.items():
        axes.plot(range(1, 41), values, label=name)
    axes.set(title=title, xlabel="epoch", ylim=(0, 0.8))
panels[0].set_ylabel("cross-entropy (nats)")
panels[0].legend()
plt.show()

# %% [markdown]
# On the left the training loss goes to 0 while the validation loss turns and *rises*: the network
# gets more certain, also where it is wrong. That is overfitting. Its accuracy hardly suffers, which
# is why one looks at the loss. Dropout sets each hidden unit to 0 with probability $p$ and divides
# the others by $1-p$, so that nothing need be rescaled later. (Forget `eval()` when you validate,
# and you measure a network with half its units missing.)

# %%
overfit, regular = (runs[name]["validation"] for name in runs)
print(f"no dropout: best {min(overfit):.3f}, last {overfit[-1]:.3f};  "
      f"dropout: best {min(regular):.3f}, last {regular[-1]:.3f}")  # fmt: skip
assert runs["1,000 images, no dropout"]["training"][-1] < 0.01
assert overfit[-1] > 1.05 * min(overfit)  # it has turned
assert regular[-1] < overfit[-1]

# %% [markdown]
# ## 6. More data, and the test set, once
#
# Ten times the data helps more than any trick. Epochs and dropout were chosen on validation images;
# now the test images are used, for the first and only time.

# %%
model = make_mlp(dropout=0.3)
fit(model, train_x, train_y, 12)
test_loss, test_accuracy = evaluate(model, test_x, test_y)
ridge_test = accuracy(test_x @ W[:-1] + W[-1], test_y)
print(f"test accuracy {100 * test_accuracy:.2f} %   (ridge {100 * ridge_test:.2f} %)")
assert test_accuracy > 0.95

# %% [markdown]
# The same network on all 60,000 images for 20 epochs, `python -m models.supervised.mlp`, is in
# [models/RESULTS.md](../models/RESULTS.md). Where is it still wrong?

# %%
model.eval()
with mg.no_grad():
    p = mg.softmax(model(mg.tensor(test_x)), 1).numpy()
guess = p.argmax(1)
worst = np.argsort(np.where(guess != test_y, p.max(1), 0))[::-1][:10]  # most certain, and wrong
figure, grid = plt.subplots(2, 5, figsize=(9, 4))
for axes, i in zip(grid.flat, worst):
    axes.imshow(test_x[i].reshape(28, 28), cmap="gray_r")
    axes.set_title(f"{test_y[i]}, read as {guess[i]} ({100 * p[i].max():.0f} %)", fontsize=9)
    axes.axis("off")
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Exercises
#
# 1. How many parameters has this network, and how many of them are in the first layer?
# 2. Softmax twice: train for one epoch with `F.cross_entropy(mg.softmax(model(batch), 1), target)`.
#    What is the smallest loss that it could ever report? (The best possible input of the loss is
#    a one-hot vector.)
# 3. A network that outputs the same logits for every image: what loss and what accuracy does it
#    have on balanced classes?

# %%
# Answers.
# 1
counts = [p.numel() for p in model.parameters()]
assert sum(counts) == 269322 and counts[0] + counts[1] == 200960

# 2: ln(e + 9) - 1 = 1.46 nats, when p = (1, 0, ..., 0) is taken for logits.
best = F.cross_entropy(mg.tensor(np.eye(10, dtype=np.float32)[:1]), mg.tensor([0])).item()
assert abs(best - (np.log(np.e + 9) - 1)) < 1e-5 and round(best, 2) == 1.46

# 3: ln 10 and 10 %: the loss of knowing nothing.
same = mg.zeros(1000, 10)
assert abs(F.cross_entropy(same, mg.arange(1000) % 10).item() - np.log(10)) < 1e-5
print("all answers check")
