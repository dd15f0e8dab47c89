# %% [markdown]
# # Trusting a gradient
#
# A wrong gradient rarely crashes. The loss still falls, only more slowly, and the network is
# worse than it should be. After this page you can
#
# - compare any gradient with finite differences, and choose their step;
# - say why a check may pass although the rule is wrong, and how to prevent that;
# - let a computer invent the cases (property-based testing);
# - write your own op and have it checked to second order.
#
# You need [Backpropagation from nothing](01_backpropagation.ipynb), or to know what a gradient
# rule is.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from hypothesis import HealthCheck, given, settings

import minigrad as mg
from minigrad.testing import gradcheck
from minigrad.testing import strategies as st

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. The difference quotient, and its step
#
# A derivative is the limit of $\frac{f(x+h) - f(x-h)}{2h}$. With Taylor's formula,
#
# $$\frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + O(h^4),$$
#
# so the *truncation* error shrinks like $h^2$. But $f$ is computed with a relative *rounding* error
# $\epsilon \approx 10^{-16}$ (float64), and the quotient divides that by $2h$. The two are equal
# near $h \approx \epsilon^{1/3} \approx 10^{-5}$.
#
# For an analytic function there is a way around rounding. A step into the imaginary direction,
#
# $$\frac{\mathrm{Im}\, f(x + ih)}{h} = f'(x) - \frac{h^2}{6} f'''(x) + \dots,$$
#
# subtracts nothing, so $h$ can be as small as we like.


# %%
def f(x):
    return np.exp(np.sin(x)) * x


def f_prime(x):
    return np.exp(np.sin(x)) * (1 + x * np.cos(x))


steps = 10.0 ** np.arange(-15, 0.5, 0.5)
x0 = 0.7
error = {
    "one-sided  (f(x+h) - f(x)) / h": [(f(x0 + h) - f(x0)) / h for h in steps],
    "central  (f(x+h) - f(x-h)) / 2h": [(f(x0 + h) - f(x0 - h)) / (2 * h) for h in steps],
    "complex  Im f(x+ih) / h": [f(x0 + 1j * h).imag / h for h in steps],
}
figure, axes = plt.subplots(figsize=(7, 4))
for name, quotient in error.items():
    axes.loglog(steps, np.abs(np.array(quotient) - f_prime(x0)) + 1e-17, "o-", ms=3, label=name)
axes.set(xlabel="step h", ylabel="error", title="Truncation falls with h, rounding grows")
axes.legend()
plt.show()

central = np.array(error["central  (f(x+h) - f(x-h)) / 2h"])
best_step = steps[np.argmin(np.abs(central - f_prime(x0)))]
assert 1e-7 < best_step < 1e-3

# %% [markdown]
# In float32, $\epsilon \approx 10^{-7}$ and the best central error is near $10^{-5}$ of the value:
# too coarse to tell a rule that is 1 % off in a small term. **Check gradients in float64**, whatever
# you train in.
#
# ## 2. A whole gradient from a few evaluations
#
# For $f: \mathbb{R}^n \to \mathbb{R}^m$ the rule computes $J^\top u$ for a *cotangent* $u$ (what
# flows back from the loss). To check it, pick a direction $v$ and compare two numbers:
#
# $$\langle J^\top u,\, v\rangle \quad\text{and}\quad
# \Big\langle u,\ \frac{f(x + hv) - f(x - hv)}{2h} \Big\rangle .$$
#
# Two evaluations, whatever $n$ and $m$. If $u$ and $v$ are random, a wrong rule is caught with
# probability one: the error would have to be exactly orthogonal to them.


# %%
def directional_check(function, x, u, v, h=1e-6):
    r"""(what the rule says, what differences say) of <u, f> along v."""
    t = mg.tensor(x, requires_grad=True)
    (gradient,) = mg.autograd.grad(function(t), t, mg.tensor(u))
    ahead, behind = function(mg.tensor(x + h * v)).numpy(), function(mg.tensor(x - h * v)).numpy()
    return float((gradient.numpy() * v).sum()), float((u * (ahead - behind)).sum() / (2 * h))


x, u, v = rng.standard_normal((3, 4, 5))
by_rule, by_differences = directional_check(lambda t: mg.softmax(t, 1), x, u, v)
print(f"rule {by_rule:.10f}   differences {by_differences:.10f}")
assert abs(by_rule - by_differences) < 1e-8

# %% [markdown]
# ## 3. Why not simply sum the outputs?
#
# The popular shortcut is to check `f(x).sum()`, that is, $u = (1, \dots, 1)$. Here is a softmax
# whose author forgot that every output depends on *every* input. With $y = \mathrm{softmax}(x)$ the
# right rule is $\bar x_i = y_i(\bar y_i - \sum_j \bar y_j y_j)$; this one keeps the diagonal only,
# $\bar x_i = \bar y_i\, y_i (1 - y_i)$, and a second one returns zero.


# %%
class DiagonalSoftmax(mg.autograd.Function):
    r"""Right forward, wrong rule: the off-diagonal terms are missing."""

    def forward(self, x):
        e = np.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def backward(self, g, out):
        return g * out * (1 - out)


class ZeroSoftmax(DiagonalSoftmax):
    r"""As wrong as can be: no gradient at all."""

    def backward(self, g, out):
        return g * 0.0


for wrong in (DiagonalSoftmax, ZeroSoftmax):
    for name, cotangent in {"ones  ": np.ones_like(u), "random": u}.items():
        rule, differences = directional_check(wrong.apply, x, cotangent, v)
        verdict = "passes" if abs(rule - differences) < 1e-7 else "caught"
        print(f"{wrong.__name__:16s} cotangent {name}: {rule:9.6f} {differences:9.6f}  {verdict}")

ones_rule, ones_differences = directional_check(ZeroSoftmax.apply, x, np.ones_like(u), v)
assert abs(ones_rule - ones_differences) < 1e-7  # the hole in the shortcut
random_rule, random_differences = directional_check(ZeroSoftmax.apply, x, u, v)
assert abs(random_rule - random_differences) > 1e-3  # and how to close it

# %% [markdown]
# A softmax sums to one, so the sum of its outputs has gradient zero: a rule that returns *nothing*
# passes the check with ones. The same happens to batch normalisation, whose outputs sum to zero in
# every channel. This is not a curiosity; published frameworks check with ones.
#
# ## 4. Let the computer invent the cases
#
# A check at one friendly point misses what happens for a single row, an empty batch, a transposed
# array, a broadcast. Hypothesis draws such cases from a *strategy* and, when one fails, shrinks it
# to a small one. `minigrad.testing.strategies` has strategies for shapes, layouts and dtypes;
# `gradcheck` does section 2 for each input, and more: shapes and dtypes of gradients, no aliasing,
# inputs unchanged.


# %%
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.arrays(low=0.2, high=3.0))
def test_log_times_sqrt(x):
    t = mg.Tensor(x.astype(np.float64), requires_grad=True)
    assert gradcheck(lambda t: mg.log(t) * mg.sqrt(t), t, order=2)


test_log_times_sqrt()
print("25 shapes and layouts, first and second order: fine")

# %% [markdown]
# ## 5. A planted bug, caught
#
# The scale of this "smooth clip" was lost in the rule for its second argument. Broadcasting adds a
# classic mistake, a missing sum, which the engine takes care of here (`broadcasts = True`).


# %%
class SmoothClip(mg.autograd.Function):
    r"""z = b tanh(x / b);  dz/dx = 1 - tanh²,  dz/db = tanh - (x / b)(1 - tanh²)."""

    broadcasts = True

    def forward(self, x, b):
        return b * np.tanh(x / b)

    def backward(self, g, x, b):
        t = mg.tanh(x / b)
        return g * (1 - t * t), g * (t - x * (1 - t * t))  # planted: x where x / b is meant


points = mg.tensor(rng.standard_normal((3, 2)), requires_grad=True)
bounds = mg.tensor([0.5, 2.0], dtype=mg.float64, requires_grad=True)
caught = ""
try:
    gradcheck(SmoothClip, (points, bounds))
except AssertionError as problem:
    caught = str(problem)
print(caught)
assert "b" in caught

# %% [markdown]
# The message names the argument, the entry, and both numbers. With `x / b` in place of `x`:


# %%
class RightClip(SmoothClip):
    r"""The same with the rule put right."""

    def backward(self, g, x, b):
        t = mg.tanh(x / b)
        return g * (1 - t * t), g * (t - x / b * (1 - t * t))


assert gradcheck(RightClip, (points, bounds), order=2)

# %% [markdown]
# ## 6. Second order has bugs of its own
#
# A rule can be right and yet not *differentiable*: if it computes with something cut off from the
# graph, first derivatives are right and second ones silently wrong. Gradient penalties (WGAN-GP) and
# Hessian-vector products need them. `order=2` catches it.


# %%
class Detached(mg.autograd.Function):
    r"""y = x³, with a rule that forgets where x came from."""

    def forward(self, x):
        return x**3

    def backward(self, g, x):
        x = x.detach() if isinstance(x, mg.Tensor) else x  # planted
        return g * 3 * x * x


t = mg.tensor(rng.standard_normal(4), requires_grad=True)
print("first order: ", gradcheck(Detached, t, raise_exception=False))
print("second order:", gradcheck(Detached, t, order=2, raise_exception=False))
assert gradcheck(Detached, t) and not gradcheck(Detached, t, order=2, raise_exception=False)

# %% [markdown]
# ## 7. Your own op
#
# Capsule networks squash a vector's length into [0, 1):
# $\mathrm{squash}(s) = \frac{|s|^2}{1+|s|^2}\,\frac{s}{|s|} = \frac{|s|}{1+|s|^2}\, s$. Composed of
# ops, it needs no rule at all. The popular code divides by $|s|$, whose derivative at $s = 0$ is
# $0/0$. Written with $|s|^2 + \delta$ under the root it is smooth.


# %%
def squash(s, delta):
    square = (s * s).sum(-1, keepdim=True)
    return s * mg.sqrt(square + delta) / (1 + square)


capsules = mg.tensor(rng.standard_normal((5, 8)), requires_grad=True)
assert gradcheck(lambda s: squash(s, 1e-9), capsules, order=2)

gradient_at_zero = {}
for delta in (0.0, 1e-9):
    zero = mg.zeros(1, 8, requires_grad=True)
    with np.errstate(all="ignore"):
        squash(zero, delta).sum().backward()
    gradient_at_zero[delta] = zero.grad.numpy()
    print(f"delta {delta:g}: gradient at 0 is {zero.grad.numpy()[0, 0]:.2e}")
assert np.isnan(gradient_at_zero[0.0]).any() and np.isfinite(gradient_at_zero[1e-9]).all()

# %% [markdown]
# One NaN in a gradient, and after the next step every weight is NaN. To find where the first one
# appeared, run the step under `mg.autograd.detect_anomaly()`: the error names the op and the line of
# your program that called it.
#
# ## Exercises
#
# 1. A float32 central difference has its smallest error near $h = \epsilon^{1/3}$ with
#    $\epsilon = 2^{-23}$. What is that $h$, to one digit?
# 2. Write softsign, $y = x / (1 + |x|)$, as a `Function` with the rule
#    $\bar x = \bar y / (1 + |x|)^2$ and check it to second order away from 0.
# 3. Batch normalisation (no weights) maps a column $x$ to $(x - \mu) / \sigma$. Which cotangents
#    cannot see a rule that returns 0?

# %%
# Answers.
# 1
assert round((2.0**-23) ** (1 / 3), 3) == 0.005


# 2
class Softsign(mg.autograd.Function):
    r"""y = x / (1 + |x|);  x̄ = ȳ / (1 + |x|)²."""

    def forward(self, x):
        return x / (1 + np.abs(x))

    def backward(self, g, x):
        return g / mg.square(1 + mg.abs(x))


away_from_zero = rng.uniform(0.1, 2, (3, 4)) * rng.choice([-1, 1], (3, 4))
assert gradcheck(Softsign, mg.tensor(away_from_zero, requires_grad=True), order=2)

# 3: those for which the gradient really is 0: constants (the outputs sum to 0), and multiples of
# the output itself (their squares sum to n, whatever x is).
column = mg.tensor(rng.standard_normal(6), requires_grad=True)
normal = (column - column.mean()) / column.std(unbiased=False)
for cotangent in (mg.ones(6, dtype=mg.float64), normal.detach()):
    (vanishing,) = mg.autograd.grad(normal, column, cotangent, retain_graph=True)
    assert math.isclose(float(abs(vanishing).max()), 0, abs_tol=1e-12)
print("all answers check")
