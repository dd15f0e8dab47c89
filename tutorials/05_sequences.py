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

# %% [markdown]
# Since $1 - \sigma(a) = \sigma(-a)$, the meaning of $z$ can be mended in the weights, by the signs of
# its rows. The place of $r$ cannot; such weights need such a layer.
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
#
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


# %%
mg.manual_seed(0)
units, distance = 32, np.arange(61)  # T - t
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
rnn_norms, lstm_norms = {}, {}
for i, radius in enumerate((0.5, 1.0, 1.5, 2.5)):
    cell = nn.RNNCell(2, units, bias=False, dtype=mg.float64)
    nn.init.orthogonal_(cell.weight_hh, gain=radius)  # all singular values are the radius
    rnn_norms[radius] = jacobian_norms(cell)
    left.semilogy(distance, rnn_norms[radius], f"C{i}", label=f"{radius}")
    left.semilogy(distance, radius**distance, f"C{i}:", alpha=0.7)
    assert (rnn_norms[radius] <= radius**distance * (1 + 1e-9)).all()
for i, bias in enumerate((0, 1, 4)):
    cell = nn.LSTMCell(2, units, dtype=mg.float64)
    with mg.no_grad():
        cell.bias_ih[units : 2 * units], cell.bias_hh[units : 2 * units] = bias, 0.0
    lstm_norms[bias] = jacobian_norms(cell, part=1)
    right.semilogy(distance, lstm_norms[bias], f"C{i}", label=f"c, forget bias {bias}")
    right.semilogy(distance, jacobian_norms(cell), f"C{i}--", label=f"h, forget bias {bias}")
left.set(title="RNN, $W'$ = radius × rotation (dots: bound)", ylim=(1e-16, 1e14), xlabel="T - t")
left.set_ylabel(r"$\Vert\partial s_T\, /\, \partial s_t\Vert$")
right.set(title="LSTM at its start", xlabel="T - t")
for axes in (left, right):
    axes.legend(fontsize=8, ncols=2, loc="upper left")
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
# two part: a gradient may grow a hundredfold before it vanishes.
#
# ## 6. Clipping
#
# Against explosion: if the norm of *all* gradients together exceeds a bound, scale all of them,
# $g \leftarrow g \min(1, \text{bound} / \lVert g \rVert)$ (Pascanu, Mikolov and Bengio, 2013). The
# step gets shorter; its direction stays. Clipping each tensor by itself, or each entry
# (`clip_grad_value_`), turns it. Call it after `backward()` and before `step()`.
#
# The smallest recurrent network: one linear unit, $h_{t} = w h_{t-1}$, fifty steps, loss
# $(h_{50} - 1)^2$. Its best $w$ is 1. From 1.1 a gradient step leads over the cliff.


# %%
def descend(bound, lr=3e-4, steps=80):
    w, path = nn.Parameter(mg.tensor([1.1], dtype=mg.float64)), []
    for _ in range(steps):
        path.append(w.item())
        w.grad = None
        ((w**50 - 1) ** 2).sum().backward()  # the loop, as h_0 = 1
        if bound is not None:
            nn.utils.clip_grad_norm_([w], bound)
        with mg.no_grad():
            w.sub_(w.grad * lr)
    return path


with np.errstate(all="ignore"):
    free = descend(bound=None)
clipped = descend(bound=10.0)
print("w, not clipped:", " ".join(f"{w:.3g}" for w in free[:4]))
print("w, clipped:    ", " ".join(f"{w:.3f}" for w in clipped[:4]), f"... {clipped[-1]:.4f}")
assert not np.isfinite(free[5]) and abs(clipped[-1] - 1) < 1e-4

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
            with mg.no_grad():
                curve.append(F.mse_loss(model(test_x), test_sum).item())
    return curve


# %%
figure, axes = plt.subplots(figsize=(8, 3.6))
curves = {}
for kind, length in ((nn.RNN, 10), (nn.RNN, 60), (nn.GRU, 60), (nn.LSTM, 60)):
    mg.manual_seed(0)
    name = f"{kind.__name__}, T = {length}"
    curves[name] = fit(Adder(kind), length, 1000)
    axes.semilogy(range(50, 1001, 50), curves[name], label=name)
for value, label in ((1 / 6, "always the mean: 1/6"), (1 / 12, "one of the two: 1/12")):
    axes.axhline(value, color="0.5", linestyle="--")
    axes.text(1000, 1.2 * value, label, ha="right", color="0.4", fontsize=8)
axes.set(xlabel="training step", title="Test error", ylim=(1e-4, 0.5))
axes.legend(fontsize=8, loc="lower left")
plt.show()

print({name: f"{curve[-1]:.4f}" for name, curve in curves.items()})
assert curves["GRU, T = 60"][-1] < 0.01 and curves["LSTM, T = 60"][-1] < 0.01
assert curves["RNN, T = 10"][-1] < 0.03 and curves["RNN, T = 60"][-1] > 0.15

# %% [markdown]
# The curves stay at 1/6 for hundreds of steps and then fall at once. Within ten steps the plain RNN
# learns the task; over sixty it only ever learns the mean: at its start the first number's gradient
# arrives about $10^{-15}$ times as large as the last one's. LSTM and GRU learn to let it through.
# (Four other seeds tell the same story; the slowest LSTM had come down to 0.011 after 1,000 steps.
# An RNN started from a rotation misses it too, and an LSTM with forget bias 0 needs about as long
# as with 1: three seeds each.)
#
# ## 8. Two traps: dropout and padding
#
# **Dropout.** Gal and Ghahramani (2016): draw *one mask for a sequence* and use it at every step, so
# that it is one smaller network that reads the whole sequence. What the texts tend to leave out is
# *where*. The popular `h = F.dropout(cell(x, h), p)` drops the memory itself: a unit that should
# remember over $k$ steps survives all of a fresh mask's draws with probability $(1-p)^k$, which for
# $p = 0.25$ and 20 steps is 0.003, and a survivor has been scaled by $(1-p)^{-k} = 315$. That factor
# stays with one mask too. So the mask goes on what the *products* see, $W'(m \odot h)$, and the gated
# memory $z \odot h$ stays whole. That is `recurrent_dropout=` here and in Keras. (`dropout=` is a
# third thing: fresh masks on the outputs *between* layers, so with one layer it does nothing.)
#
# **Padding.** A batch is one array, so short sequences are padded, with zeros at the end. A recurrent
# layer does not know that they are padding: its biases go on working on the state. `output[-1]` and
# `h_n` are then states *after* the padding, and a backward direction reads the padding *first*. With
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

# %%
# Answers.
# 1
count = [sum(p.numel() for p in kind(1, 32).parameters()) for kind in (nn.LSTM, nn.GRU, nn.RNN)]
assert count == [4480, 3360, 1120]
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

print("all answers check")
