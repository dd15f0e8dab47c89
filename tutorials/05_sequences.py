# %% [markdown]
# # Sequences: RNN, LSTM, GRU, and what they can remember
#
# After this page you can
#
# - write the three recurrent layers from ops you know, with the conventions that make weights from
#   elsewhere fit: order of gates, two biases, two kinds of GRU;
# - differentiate through time by hand, and bound how fast the gradient vanishes or explodes;
# - say what clipping cures and what it does not, and where dropout may stand in a loop;
# - show a task that gated layers learn and a plain one misses, beside what guessing gets.
#
# You need [Backpropagation from nothing](01_backpropagation.ipynb) and the training loop of
# [A first network](03_first_network.ipynb).

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg
from minigrad import nn, optim

mg.manual_seed(0)
rng = np.random.default_rng(0)
F = nn.functional
T, N, C, H = 7, 4, 3, 5  # steps, sequences, inputs and hidden units of the small examples

# %% [markdown]
# ## 1. One state, one rule for every step
#
# A recurrent layer carries a state $h$ along the sequence. Elman's network has
#
# $$h_t = \tanh(W x_t + b + W' h_{t-1} + b'), \qquad h_0 = 0.$$
#
# The weights are the same at every step. Time is the first axis, $x$ is (T, N, C): a step `x[t]` is
# then one block of memory.


# %%
def rnn_loop(layer, x):
    w, u, b, c = layer.parameters()  # weight_ih, weight_hh, bias_ih, bias_hh
    h, outputs = mg.zeros(x.shape[1], layer.hidden_size, dtype=x.dtype), []
    for t in range(len(x)):
        h = mg.tanh(x[t] @ w.T + b + h @ u.T + c)
        outputs.append(h)
    return mg.stack(outputs), h


def assert_same(loop, layer, x):
    r"""Values, and the gradients of all weights and of x for a random cotangent."""
    answers = []
    for run in (lambda: loop(layer, x), lambda: layer(x)):
        y, last = run()
        last = last[0] if isinstance(last, tuple) else last  # of (h, c), h
        g = mg.tensor(np.random.default_rng(1).standard_normal(y.shape))
        answers.append([y, last.reshape(*y.shape[1:])])
        answers[-1] += mg.autograd.grad((y * g).sum() + last.sum(), [x, *layer.parameters()])
    assert all(np.allclose(a.detach(), b.detach()) for a, b in zip(*answers, strict=True))
    print(f"{type(layer).__name__}: {len(answers[0])} arrays agree")


x = mg.tensor(rng.standard_normal((T, N, C)), requires_grad=True)
rnn, lstm, gru = (kind(C, H, dtype=mg.float64) for kind in (nn.RNN, nn.LSTM, nn.GRU))
assert_same(rnn_loop, rnn, x)

# %% [markdown]
# **The popular mistake here is silent.** Most data have the batch first, (N, T, C); the layer, like
# PyTorch's, expects (T, N, C) unless you say `batch_first=True`. Nothing complains: the sequences
# become steps, and the state runs *from one sequence into the next*. A test that finds it: change
# one sequence, and see that the others' outputs stay.

# %%
batch = rng.standard_normal((N, T, C))
changed = batch.copy()
changed[0] += 1
right = nn.RNN(C, H, batch_first=True, dtype=mg.float64)
right.load_state_dict(rnn.state_dict())
for name, layer in {"default, on (N, T, C)": rnn, "batch_first=True": right}.items():
    moved = np.abs((layer(mg.tensor(batch))[0] - layer(mg.tensor(changed))[0]).detach().numpy())
    print(f"{name:22s} sequences that change with the first: {(moved.max((1, 2)) > 0).sum()}")
    assert (moved[1:].max() > 0) == (layer is rnn)

# %% [markdown]
# ## 2. LSTM
#
# The long short-term memory (Hochreiter and Schmidhuber, 1997; with forget gates, Gers et al.,
# 2000) has a second state $c$, which is *added to* instead of recomputed:
#
# $$c_t = f \odot c_{t-1} + i \odot g, \qquad h_t = o \odot \tanh c_t ,$$
#
# where $i, f, o = \sigma(\ldots)$ and $g = \tanh(\ldots)$, each of $W x_t + b + W' h_{t-1} + b'$ with
# rows of its own. The four blocks of rows are stacked in one matrix $(4H, C)$, in PyTorch and Keras
# in the order $i, f, g, o$. ONNX has $i, o, f, g$; TensorFlow 1 had $i, g, f, o$.
# Weights in another order fit, raise no error, and mean another function.


# %%
def lstm_loop(layer, x, order="ifgo"):
    w, u, b, b2 = layer.parameters()
    h = c = mg.zeros(x.shape[1], layer.hidden_size, dtype=x.dtype)
    outputs = []
    for t in range(len(x)):
        blocks = mg.chunk(x[t] @ w.T + b + h @ u.T + b2, 4, dim=1)
        gate = dict(zip(order, blocks))
        i, f, o = (mg.sigmoid(gate[name]) for name in "ifo")
        c = f * c + i * mg.tanh(gate["g"])
        h = o * mg.tanh(c)
        outputs.append(h)
    return mg.stack(outputs), (h, c)


assert_same(lstm_loop, lstm, x)
for order in ("iofg", "igfo"):
    error = (lstm_loop(lstm, x, order)[0] - lstm(x)[0]).abs().max().item()
    print(f"rows read as {order}: off by {error:.2f}, where outputs reach "
          f"{lstm(x)[0].abs().max().item():.2f}")  # fmt: skip
    assert error > 0.02

# %% [markdown]
# **Two biases.** $b$ and $b'$ are always added, so one would do; cuDNN has two, hence PyTorch, hence
# minigrad. Keras' LSTM has one. The forget gate's bias is often set to 1 at the start. Code that
# sets `[H:2H]` of *every* parameter with "bias" in its name sets both, and gets 2.
#
# ## 3. GRU, of which there are two
#
# The gated recurrent unit (Cho et al., 2014) has one state and two gates:
#
# $$r, z = \sigma(W x_t + b + W' h_{t-1} + b'), \qquad h_t = (1 - z) \odot n + z \odot h_{t-1}.$$
#
# In what $r$ multiplies, the implementations differ. With $v = W_n x_t + b_n$:
#
# | | | |
# |---|---|---|
# | *after* the product | $n = \tanh(v + r \odot (W'_n h_{t-1} + b'_n))$ | cuDNN, PyTorch, minigrad, Keras (`reset_after=True`, the default) |
# | *before* it | $n = \tanh(v + W'_n (r \odot h_{t-1}) + b'_n)$ | the paper, Keras with `reset_after=False` |
#
# *After* lets all of $W' h$ be one product. It also is why the second bias cannot be merged with the
# first: it is inside $r$'s brackets. And $z$ *keeps* here, as in the paper; in Chung et al. (2014)
# and many texts it *updates*, $h_t = (1-z)\, h_{t-1} + z\, n$.


# %%
def gru_loop(layer, x, reset="after", keep=True):
    w, u, b, b2 = layer.parameters()
    w_n, b_n = u[-layer.hidden_size :], b2[-layer.hidden_size :]
    h, outputs = mg.zeros(x.shape[1], layer.hidden_size, dtype=x.dtype), []
    for t in range(len(x)):
        from_x = mg.chunk(x[t] @ w.T + b, 3, dim=1)
        from_h = mg.chunk(h @ u.T + b2, 3, dim=1)
        r, z = (mg.sigmoid(p + q) for p, q in zip(from_x[:2], from_h))
        n = mg.tanh(from_x[2] + (r * from_h[2] if reset == "after" else (r * h) @ w_n.T + b_n))
        h = (1 - z) * n + z * h if keep else (1 - z) * h + z * n
        outputs.append(h)
    return mg.stack(outputs), h


assert_same(gru_loop, gru, x)
for other in ({"reset": "before"}, {"keep": False}):
    error = (gru_loop(gru, x, **other)[0] - gru(x)[0]).abs().max().item()
    print(f"{other}: off by {error:.3f}")
    assert error > 0.02

flipped = nn.GRU(C, H, dtype=mg.float64)  # "updates" instead of "keeps": the signs of z's rows
weights = {name: value.detach().numpy().copy() for name, value in gru.state_dict().items()}
for value in weights.values():
    value[H : 2 * H] *= -1
flipped.load_state_dict(weights)
assert np.allclose(gru_loop(flipped, x, keep=False)[0].detach(), gru(x)[0].detach())

# %% [markdown]
# The last lines: $1 - \sigma(a) = \sigma(-a)$, so the meaning of $z$ can be mended in the weights.
# The place of $r$ cannot; such weights need such a layer.
#
# ## 4. Backpropagation through time
#
# There is nothing new in it: unroll the loop, and it is a deep network with shared weights. The
# state $h_t$ reaches the loss by its output $y_t = h_t$ and by the next state. With
# $a_t$ for what is inside $\tanh$,
#
# $$\bar h_t = \bar y_t + W'^\top \bar a_{t+1}, \qquad \bar a_t = (1 - h_t^2) \odot \bar h_t, \qquad
# \bar W' = \sum_t \bar a_t\, h_{t-1}^\top .$$


# %%
def rnn_backward(g, y, u):
    r"""g, y (T, N, H), u (H, H) -> the gradients of a (T, N, H) and of u"""
    from_next, ga = np.zeros_like(g[0]), np.zeros_like(g)
    for t in reversed(range(len(g))):
        ga[t] = (1 - y[t] ** 2) * (g[t] + from_next)
        from_next = ga[t] @ u
    before = np.concatenate([np.zeros_like(y[:1]), y[:-1]])  # h_{t-1}
    return ga, np.einsum("tni,tnj->ij", ga, before)


y, _ = rnn(x)
g = rng.standard_normal(y.shape)
(expected,) = mg.autograd.grad(y, rnn.weight_hh_l0, mg.tensor(g))
_, by_hand = rnn_backward(g, y.detach().numpy(), rnn.weight_hh_l0.detach().numpy())
assert np.allclose(by_hand, expected)
print("backpropagation through time by hand: as minigrad's")

# %% [markdown]
# A stream without end is cut into pieces, and the state is carried over: `h = h.detach()`.
# Without `detach` the second piece's `backward` runs into the first piece's graph, which is gone.
# With it the gradient is *truncated*: what happened in an earlier piece gets no credit.


# %%
def reach(detach):
    r"""How much of the outputs' gradient at steps 4 ... 6 arrives at each step's input."""
    _, h = rnn(x[:4])
    y, _ = rnn(x[4:], h.detach() if detach else h)
    (gx,) = mg.autograd.grad(y.sum(), x)
    return gx.abs().sum((1, 2)).numpy()


print("whole:    ", np.round(reach(False), 2))
print("truncated:", np.round(reach(True), 2))
assert (reach(True)[:4] == 0).all() and (reach(False)[:4] != 0).all()
assert np.allclose(reach(True)[4:], reach(False)[4:])

# %% [markdown]
# ## 5. Vanishing and exploding
#
# How much does the state at step $t$ still matter at step $T$? By the chain rule
#
# $$\frac{\partial h_T}{\partial h_t} = \prod_{k=T}^{t+1} D_k W', \quad D_k = \mathrm{diag}(1 - h_k^2),
# \qquad \Big\lVert \frac{\partial h_T}{\partial h_t} \Big\rVert \le
# \prod_k \lVert D_k \rVert\, \lVert W' \rVert \le \sigma_{\max}(W')^{T-t}.$$
#
# It is this *product of Jacobians* that vanishes. Not, as is often read, "small losses", "small
# weights" or "many layers" as such. To measure it: run $H$ copies of one sequence, and ask copy $i$
# for the gradient of unit $i$. One `backward` then leaves row $i$ of *every* Jacobian in copy $i$.


# %%
def jacobian_norms(cell, part=0, steps=60):
    r"""Largest singular values of ds_T/ds_t, t = T ... 0; s is h (part 0), or c of an LSTM (1)."""
    H, dtype = cell.hidden_size, cell.weight_hh.dtype
    inputs = np.random.default_rng(2).standard_normal((steps, 1, cell.input_size))
    gated = isinstance(cell, nn.LSTMCell)
    state = [mg.zeros(H, H, dtype=dtype, requires_grad=True) for _ in range(1 + gated)]
    states = [state]
    for step in inputs:
        step = mg.tensor(np.repeat(step, H, 0), dtype=dtype)
        state = list(cell(step, state)) if gated else [cell(step, state[0])]
        states.append(state)
        for s in state:
            s.retain_grad()
    state[part].backward(mg.eye(H, dtype=dtype))
    return [np.linalg.norm(s[part].grad.numpy(), 2) for s in reversed(states)]


def rnn_cell(radius, H=32):
    cell = nn.RNNCell(2, H, bias=False, dtype=mg.float64)
    nn.init.orthogonal_(cell.weight_hh, gain=radius)  # all singular values are the radius
    return cell


def lstm_cell(forget_bias, H=32):
    cell = nn.LSTMCell(2, H, dtype=mg.float64)
    with mg.no_grad():
        cell.bias_ih[H : 2 * H] = forget_bias
        cell.bias_hh[H : 2 * H] = 0.0
    return cell


# %%
mg.manual_seed(0)
distance = np.arange(61)  # T - t
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
rnn_norms = {}
for i, radius in enumerate((0.5, 1.0, 1.5, 2.5)):
    rnn_norms[radius] = jacobian_norms(rnn_cell(radius))
    left.semilogy(distance, rnn_norms[radius], f"C{i}", label=f"{radius}")
    left.semilogy(distance, radius**distance, f"C{i}:", alpha=0.7)
    assert (rnn_norms[radius] <= radius**distance * (1 + 1e-9)).all()
left.set(title="RNN, $W'$ = radius × rotation (dots: bound)", ylim=(1e-16, 1e14))

lstm_norms = {}
for i, bias in enumerate((0, 1, 4)):
    cell = lstm_cell(bias)
    lstm_norms[bias] = jacobian_norms(cell, part=1)
    right.semilogy(distance, lstm_norms[bias], f"C{i}", label=f"c, forget bias {bias}")
    right.semilogy(distance, jacobian_norms(cell), f"C{i}--", label=f"h, forget bias {bias}")
right.set(title="LSTM at its start")
for axes in (left, right):
    axes.set_xlabel("T - t")
    axes.legend(fontsize=8, ncols=2, loc="upper left")
left.set_ylabel(r"$\Vert\partial s_T\, /\, \partial s_t\Vert$")
figure.tight_layout()
plt.show()
print("RNN, 60 steps back: ", {r: f"{n[-1]:.0e}" for r, n in rnn_norms.items()})
print("LSTM, 60 steps back:", {b: f"{n[-1]:.0e}" for b, n in lstm_norms.items()})
assert rnn_norms[0.5][-1] < 1e-17 and rnn_norms[1.0][-1] < 1 < 1e3 < rnn_norms[2.5][-1]
assert lstm_norms[0][-1] < 1e-10 < 1e-6 < lstm_norms[1][-1] < 1e-2 < lstm_norms[4][-1]

# %% [markdown]
# Left: even a rotation forgets, because $\tanh' < 1$ wherever the units are used; for the same
# reason the exploding ones stay below their bound. The uniform start of `nn.RNN`,
# $\pm 1/\sqrt H$, has spectral radius about $1/\sqrt 3 = 0.58$: it vanishes by design.
#
# Right: **an LSTM does not abolish vanishing.** The memory's own share of the Jacobian is
# $\prod_k f_k$, and with forget bias 0 $f \approx \sigma(0) = 1/2$: at its start an LSTM forgets
# *faster* than a good RNN. Bias 1 gives 0.73 a step, and $0.73^{60} = 7 \cdot 10^{-9}$ is little
# too; to bridge 60 steps, $f$ must be near $1 - 1/60$, a bias of 4. What the gates buy is that
# *how long to remember is learnt*, unit by unit, and that $f = 1$ is within reach. (The norms are
# above $\prod f$, as there are ways through the gates, and the norm shows the best of 32 directions.)
#
# **Spectral radius below 1 does not mean that nothing grows.** It says what happens in the end. The
# bound is in terms of the largest *singular value*, and for a matrix that is far from normal the
# two part: below, all eigenvalues are 0.7, and a gradient grows a hundredfold before it vanishes.

# %%
chain = 0.7 * np.eye(6) + np.eye(6, k=1)  # each unit also feeds the one before it
growth = [np.linalg.norm(np.linalg.matrix_power(chain, k), 2) for k in distance]
print(f"radius {np.abs(np.linalg.eigvals(chain)).max():.1f}, "
      f"largest singular value {np.linalg.norm(chain, 2):.2f}: the norm is at most "
      f"{max(growth):.0f}, after {np.argmax(growth)} steps, and at last {growth[-1]:.2f}")  # fmt: skip
assert max(growth) > 50 and growth[-1] < 0.1

# %% [markdown]
# ## 6. Clipping
#
# Against explosion: if the norm of *all* gradients together exceeds a bound, scale all of them,
# $g \leftarrow g \min(1, \text{bound} / \lVert g \rVert)$ (Pascanu, Mikolov and Bengio, 2013). The
# step gets shorter; its direction stays. Clipping each tensor by itself, or each entry
# (`clip_grad_value_`), turns it. Call it after `backward()` and before `step()`.


# %%
def gradients(values):
    parameters = [nn.Parameter(mg.zeros(len(v))) for v in values]
    for p, v in zip(parameters, values):
        p.grad = mg.tensor(v)
    return parameters


def direction(parameters):
    flat = np.concatenate([p.grad.numpy() for p in parameters])
    return flat / np.linalg.norm(flat)


values = [[30.0, 0.4], [0.0, -40.0, 0.3]]
whole, each, entries = (gradients(values) for _ in range(3))
norm = nn.utils.clip_grad_norm_(whole, 1.0).item()
for p in each:
    nn.utils.clip_grad_norm_([p], 1.0)
nn.utils.clip_grad_value_(entries, 1.0)
print(f"norm before {norm:.2f}; cosine with the gradient, clipped")
for name, clipped in {"all together": whole, "each tensor": each, "each entry": entries}.items():
    print(f"  {name:13s} {direction(gradients(values)) @ direction(clipped):.3f}")
assert np.isclose(norm, np.linalg.norm(np.concatenate(values)))
assert np.allclose(direction(whole), direction(gradients(values)))

# %% [markdown]
# The smallest recurrent network: one linear unit, $h_{t} = w h_{t-1}$, fifty steps, loss
# $(h_{50} - 1)^2$. Its best $w$ is 1. From 1.1 a gradient step leads over the cliff.


# %%
def descend(bound, lr=3e-4, steps=80):
    w, path = nn.Parameter(mg.tensor([1.1], dtype=mg.float64)), []
    for _ in range(steps):
        h = mg.ones(1, dtype=mg.float64)
        for _ in range(50):
            h = h * w
        loss = ((h - 1) ** 2).sum()
        path.append((w.item(), loss.item()))
        w.grad = None
        loss.backward()
        if bound is not None:
            nn.utils.clip_grad_norm_([w], bound)
        with mg.no_grad():
            w.sub_(w.grad * lr)
    return np.array(path)


with np.errstate(all="ignore"):
    free = descend(bound=None)
clipped = descend(bound=10.0)
print("w, not clipped:", " ".join(f"{w:.3g}" for w in free[:4, 0]))
print("w, clipped:    ", " ".join(f"{w:.3f}" for w in clipped[:4, 0]), f"... {clipped[-1, 0]:.4f}")
assert not np.isfinite(free[5]).all() and abs(clipped[-1, 0] - 1) < 1e-4

w = np.linspace(0.9, 1.12, 200)
figure, axes = plt.subplots(figsize=(7, 3.2))
axes.semilogy(w, (w**50 - 1) ** 2, color="0.6", label="loss")
axes.semilogy(*clipped[:45].T, "o", markersize=3, label="steps, clipped")
axes.annotate("not clipped: to w = -372", free[0], (0.92, 1e4), arrowprops={"arrowstyle": "<-"})
axes.set(xlabel="w", ylabel="$(w^{50} - 1)^2$", ylim=(1e-7, 1e6))
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# Clipping does nothing against *vanishing*: a gradient of 0 has no length to mend.
#
# ## 7. The adding problem
#
# (Hochreiter and Schmidhuber, 1997.) Each step brings a number from $U(0, 1)$ and a mark. Two steps
# are marked, one in each half. At the end, the sum of their two numbers is wanted. What has one to
# beat? Always answering 1 gives the variance of a sum of two uniform numbers, $2/12 = 0.167$.
# Remembering the later number only gives $1/12 = 0.083$.


# %%
def adding(rng, n, T):
    r"""Inputs (T, n, 2), sums (n, 1)"""
    x = np.zeros((T, n, 2), np.float32)
    x[:, :, 0] = rng.random((T, n))
    x[rng.integers(0, T // 2, n), np.arange(n), 1] = 1
    x[rng.integers(T // 2, T, n), np.arange(n), 1] = 1
    return mg.tensor(x), mg.tensor((x[:, :, 0] * x[:, :, 1]).sum(0)[:, None])


class Adder(nn.Module):
    def __init__(self, kind, H=32):
        super().__init__()
        self.core, self.head = kind(2, H), nn.Linear(H, 1)
        if kind is nn.LSTM:
            with mg.no_grad():
                self.core.bias_ih_l0[H : 2 * H] = 1.0  # and the other one stays near 0

    def forward(self, x):
        return self.head(self.core(x)[0][-1])


def fit(model, T, steps, seed=0):
    r"""Train on fresh sequences; the error on 1,000 others, every 50 steps."""
    optimizer, rng, curve = optim.Adam(model.parameters(), lr=0.01), np.random.default_rng(seed), []
    test_x, test_sum = adding(np.random.default_rng(1000), 1000, T)
    for step in range(1, steps + 1):
        x, total = adding(rng, 32, T)
        loss = F.mse_loss(model(x), total)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            model.eval()
            with mg.no_grad():
                curve.append(F.mse_loss(model(test_x), test_sum).item())
            model.train()
    return curve


def as_cell(core):
    r"""One step of a layer, with the layer's weights."""
    cell = {nn.RNN: nn.RNNCell, nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell}[type(core)]
    cell = cell(core.input_size, core.hidden_size)
    cell.load_state_dict({name[:-3]: value for name, value in core.state_dict().items()})
    return cell


# %%
curves, before, after = {}, {}, {}
for name, kind, length in (
    ("RNN, T = 10", nn.RNN, 10),
    ("RNN, T = 60", nn.RNN, 60),
    ("GRU, T = 60", nn.GRU, 60),
    ("LSTM, T = 60", nn.LSTM, 60),
):
    mg.manual_seed(0)
    model, part = Adder(kind), int(kind is nn.LSTM)
    before[name] = jacobian_norms(as_cell(model.core), part)
    curves[name] = fit(model, length, 1000)
    after[name] = jacobian_norms(as_cell(model.core), part)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
for i, (name, curve) in enumerate(curves.items()):
    left.semilogy(range(50, 1001, 50), curve, f"C{i}", label=name)
    right.semilogy(distance, before[name], f"C{i}:")
    right.semilogy(distance, after[name], f"C{i}", label=name)
left.axhline(1 / 6, color="0.5", linestyle="--")
left.text(1000, 0.22, "always the mean: 1/6", ha="right", color="0.4", fontsize=8)
left.axhline(1 / 12, color="0.5", linestyle="--")
left.text(1000, 0.055, "one of the two: 1/12", ha="right", color="0.4", fontsize=8)
left.set(xlabel="training step", title="Test error", ylim=(1e-4, 0.5))
right.set(xlabel="T - t", title="Jacobian norm, before (dots) and after", ylim=(1e-20, 1e5))
left.legend(fontsize=8, loc="lower left")
figure.tight_layout()
plt.show()

best_guess = F.mse_loss(mg.ones(1000, 1), adding(np.random.default_rng(1000), 1000, 60)[1]).item()
print(f"always the mean: {best_guess:.4f} (expected {1 / 6:.4f})")
print({name: f"{curve[-1]:.4f}" for name, curve in curves.items()})
assert abs(best_guess - 1 / 6) < 0.01
assert curves["GRU, T = 60"][-1] < 0.01 and curves["LSTM, T = 60"][-1] < 0.01
assert curves["RNN, T = 10"][-1] < 0.03 and curves["RNN, T = 60"][-1] > 0.15
assert after["LSTM, T = 60"][-1] > 1e3 * before["LSTM, T = 60"][-1]

# %% [markdown]
# The curves stay at 1/6 for hundreds of steps and then fall at once. Within ten steps the plain RNN
# learns the task; over sixty it only ever learns the mean: the first number's gradient arrives
# about $10^{-15}$ times as large as the last one's. The right panel says what LSTM and GRU learnt:
# to let it through. (Four other seeds tell the same story; the slowest LSTM had come down to 0.011
# after 1,000 steps. An RNN started from a rotation misses it too, and an LSTM with forget bias 0
# needs about as long as with 1: three seeds each.)
#
# ## 8. Dropout in a loop
#
# Gal and Ghahramani (2016): draw *one mask for a sequence* and use it at every step, so that it is
# one smaller network that reads the whole sequence. What the texts tend to leave out is *where*.
# The popular `h = F.dropout(cell(x, h), p)` drops the memory itself: a unit that should remember
# over $k$ steps survives all of a fresh mask's draws with probability $(1-p)^k$, which for
# $p = 0.25$ and 20 steps is 0.003, and a survivor has been scaled by $(1-p)^{-k} = 315$. That
# factor stays with one mask too. So the mask goes on what the *products* see, $W'(m \odot h)$, and
# the gated memory $z \odot h$ stays whole. That is `recurrent_dropout=` here and in Keras.


# %%
class DroppedAdder(Adder):
    r"""With a mask "once" a sequence or a "fresh" one a step, on the "products" or the "memory"."""

    def __init__(self, when, where, p=0.25):
        super().__init__(nn.GRU)
        self.when, self.where, self.p = when, where, p

    def forward(self, x):
        w, u, b, b2 = self.core.parameters()
        h, inputs = mg.zeros(x.shape[1], len(w) // 3), x @ w.T + b
        for t in range(len(x)):
            if t == 0 or self.when == "fresh":
                mask = F.dropout(mg.ones_like(h), self.p, self.training)
            seen = h * mask
            if self.where == "memory":
                h = seen
            p, q = mg.chunk(inputs[t], 3, 1), mg.chunk(seen @ u.T + b2, 3, 1)
            r, z = mg.sigmoid(p[0] + q[0]), mg.sigmoid(p[1] + q[1])
            n = mg.tanh(p[2] + r * q[2])
            h = n + z * (h - n)
        return self.head(h)


by_hand, library = DroppedAdder("once", "products"), Adder(nn.GRU)
library.core = nn.GRU(2, 32, recurrent_dropout=0.25)
library.load_state_dict(by_hand.state_dict())
x, _ = adding(rng, 8, 20)
answers = []
for model in (by_hand, library):
    mg.manual_seed(1)  # the same mask
    answers.append(model(x).detach())
assert np.allclose(*answers, atol=1e-5)

dropped = {}
for where in ("products", "memory"):
    for when in ("once", "fresh"):
        mg.manual_seed(0)
        dropped[when, where] = fit(DroppedAdder(when, where), 20, 400)[-1]
        print(f"{when:5s} mask on {where:8s}: {dropped[when, where]:.4f}")
for when in ("once", "fresh"):
    assert dropped[when, "products"] < min(0.01, dropped[when, "memory"] / 5)

# %% [markdown]
# The *place* decides. Between one mask and fresh ones on the products this task shows no
# difference: it has endless data, so there is nothing to regularise. (`dropout=` is a third thing:
# fresh masks on the outputs *between* layers, so with one layer it does nothing.)
#
# ## 9. Sequences of several lengths
#
# A batch is one array, so short sequences are padded, with zeros at the end. A recurrent layer does
# not know that they are padding: its biases go on working on the state. `output[-1]` and `h_n` are
# then states *after* the padding, and a backward direction reads the padding *first*. With
# `lengths=` a sequence's state stops at its end.

# %%
lengths = np.array([12, 5, 8, 3])
padded = np.zeros((12, 4, C))
for n, length in enumerate(lengths):
    padded[:length, n] = rng.standard_normal((length, C))
both_ways = nn.GRU(C, H, bidirectional=True, dtype=mg.float64)
alone = [both_ways(mg.tensor(padded[:length, n]))[1] for n, length in enumerate(lengths)]
alone = mg.stack(alone, 1).detach()  # (2, N, H): last states of the two directions

padded = mg.tensor(padded)
with mg.no_grad():
    blind = (both_ways(padded)[1] - alone).abs().amax((0, 2)).numpy()
    told = (both_ways(padded, lengths=lengths)[1] - alone).abs().amax((0, 2)).numpy()
print("off by, without lengths:", np.round(blind, 2), "  with lengths:", np.round(told, 2))
assert told.max() < 1e-12 and blind[0] < 1e-12 and (blind[1:] > 0.01).all()

# %% [markdown]
# The forward direction could be mended by picking `output[length - 1]`; the backward one could not.
# A *mean over time* has the same trap: divide by each sequence's own length, not by T.
#
# ## Exercises
#
# 1. How many parameters have LSTM, GRU and RNN with 1 input and 32 units, in PyTorch and here? In
#    Keras an LSTM and an RNN have one bias, a GRU (reset after) two. What do these have there?
# 2. What does `nn.RNN` compute if all of `weight_hh` is 0? And an LSTM whose forget gate's bias is
#    -100?
# 3. Which forget bias makes half of the memory survive 100 steps, if nothing else speaks?
# 4. Reverse the sequence, the layer's answer, and compare: how does a bidirectional RNN follow from
#    two plain ones?

# %%
# Answers.
# 1
count = {
    kind: sum(p.numel() for p in getattr(nn, kind)(1, 32).parameters())
    for kind in ("LSTM", "GRU", "RNN")
}
assert count == {"LSTM": 4480, "GRU": 3360, "RNN": 1120}
assert (4 * 32 * (1 + 32 + 1), 3 * 32 * (1 + 32 + 2), 32 * (1 + 32 + 1)) == (4352, 3360, 1088)

# 2: a layer without memory, tanh(W x + b + b'); c = i g, which remembers by the gates' h alone.
x = mg.tensor(rng.standard_normal((T, N, C)))
with mg.no_grad():
    rnn.weight_hh_l0.zero_()
    lstm.bias_ih_l0[H : 2 * H] = -100.0
w, _, b, b2 = rnn.parameters()
assert np.allclose(rnn(x)[0].detach(), mg.tanh(x @ w.T + b + b2).detach())
c = [mg.tensor(rng.standard_normal((1, N, H))) for _ in range(2)]
h = mg.zeros(1, N, H, dtype=mg.float64)
assert np.allclose(*(lstm(x, (h, start))[0].detach() for start in c))

# 3: f^100 = 1/2, f = 0.9931, a bias of 4.97.
f = 0.5**0.01
assert round(float(np.log(f / (1 - f))), 2) == 4.97

# 4
two = nn.RNN(C, H, bidirectional=True, dtype=mg.float64)
forward, backward = (nn.RNN(C, H, dtype=mg.float64) for _ in range(2))
state = two.state_dict()
forward.load_state_dict({k: v for k, v in state.items() if "reverse" not in k})
backward.load_state_dict({k[:-8]: v for k, v in state.items() if "reverse" in k})
parts = [forward(x)[0], mg.flip(backward(mg.flip(x, [0]))[0], [0])]
assert np.allclose(mg.cat(parts, -1).detach(), two(x)[0].detach())
print("all answers check")
