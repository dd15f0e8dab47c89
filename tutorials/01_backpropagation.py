# %% [markdown]
# # Backpropagation from nothing
#
# After this page you can
#
# - write a tape that differentiates any program of array operations, in about sixty lines;
# - say why gradients *add up*, and where broadcasting needs a sum;
# - recognise four mistakes that many published engines make, by what they do;
# - use minigrad's engine, which is the same idea, including for second derivatives.
#
# You need NumPy and the chain rule.

# %%
import sys

import matplotlib.pyplot as plt
import numpy as np

import minigrad as mg

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. The chain rule, read backwards
#
# A program computes a number $L$ through intermediate values. Write $\bar v$ for $\partial L /
# \partial v$. If $z = f(x, y)$ is one step of the program, the chain rule says what that step
# contributes:
#
# $$\bar x \mathrel{+}= \frac{\partial z}{\partial x}^{\!\top} \bar z, \qquad
#   \bar y \mathrel{+}= \frac{\partial z}{\partial y}^{\!\top} \bar z .$$
#
# Each step needs to know only its own derivative. Start with $\bar L = 1$ and go through the steps
# from the last to the first: when a step's turn comes, everything that used its output has already
# contributed. It is `+=` because $x$ may be used by several steps, and its changes reach $L$ by all
# those ways.
#
# A first example by hand: $L = (a b + a)^2$ at $a = 3,\ b = 2$.

# %%
a, b = 3.0, 2.0
p = a * b  # 6
s = p + a  # 9
L = s**2  # 81

s_bar = 2 * s * 1.0  # L = s²
p_bar, a_bar = s_bar, s_bar  # s = p + a
a_bar += b * p_bar  # p = a b: a second way from a to L
b_bar = a * p_bar
print("by hand:", a_bar, b_bar)
assert (a_bar, b_bar) == (2 * (a * b + a) * (b + 1), 2 * (a * b + a) * a)

# %% [markdown]
# ## 2. A tape in sixty lines
#
# A `Value` holds an array, and, if it was computed, the values it came from and a function that turns
# its gradient into theirs. `backward` needs an order in which every value comes after all that used
# it: a topological order, found without recursion.


# %%
class Value:
    def __init__(self, data, parents=(), rule=None):
        self.data = np.asarray(data, dtype=np.float64)
        self.parents, self.rule, self.grad = parents, rule, None

    def __add__(self, other):
        other = as_value(other)
        return Value(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other):
        other = as_value(other)
        return Value(
            self.data * other.data, (self, other), lambda g: (g * other.data, g * self.data)
        )

    def __matmul__(self, other):
        return Value(
            self.data @ other.data,
            (self, other),
            lambda g: (g @ other.data.T, self.data.T @ g),
        )

    def tanh(self):
        y = np.tanh(self.data)
        return Value(y, (self,), lambda g: (g * (1 - y * y),))

    def sum(self):
        return Value(self.data.sum(), (self,), lambda g: (g * np.ones_like(self.data),))

    def backward(self):
        grads = {id(self): np.ones_like(self.data)}
        for value in reversed(topological_order(self)):
            g = grads.pop(id(value))
            if value.rule is None:  # a leaf: the user wants to see it
                value.grad = g if value.grad is None else value.grad + g
                continue
            for parent, part in zip(value.parents, value.rule(g)):
                part = sum_to(part, parent.data.shape)
                grads[id(parent)] = grads[id(parent)] + part if id(parent) in grads else part


def as_value(x):
    return x if isinstance(x, Value) else Value(x)


def sum_to(g, shape):
    """Undo broadcasting: what was repeated in the forward is summed in the backward."""
    while g.ndim > len(shape):
        g = g.sum(0)
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axes, keepdims=True) if axes else g


def topological_order(root):
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        value, parents_done = stack.pop()
        if parents_done:
            order.append(value)
        elif id(value) not in seen:
            seen.add(id(value))
            stack.append((value, True))
            stack.extend((parent, False) for parent in value.parents)
    return order


# %%
a, b = Value(3.0), Value(2.0)
s = a * b + a
L = s * s
L.backward()
print("tape:   ", a.grad, b.grad)
assert (a.grad, b.grad) == (a_bar, b_bar)

# %% [markdown]
# ## 3. A network of two layers
#
# The same sixty lines differentiate a network: $L = \sum (\tanh(X W_1 + b_1) W_2 - Y)^2$. Note
# $b_1$: its row is added to every row of the batch, so its gradient is summed over the batch.


# %%
X, Y = rng.standard_normal((16, 3)), rng.standard_normal((16, 1))
arrays = {
    "W1": rng.standard_normal((3, 8)),
    "b1": rng.standard_normal((1, 8)),
    "W2": rng.standard_normal((8, 1)),
}


def loss_of(weights, x, y):
    error = (x @ weights["W1"] + weights["b1"]).tanh() @ weights["W2"] + y
    return (error * error).sum()


ours = {name: Value(array) for name, array in arrays.items()}
loss_of(ours, Value(X), Value(-Y)).backward()

theirs = {name: mg.tensor(array, requires_grad=True) for name, array in arrays.items()}
loss_of(theirs, mg.tensor(X), mg.tensor(-Y)).backward()

for name in arrays:
    assert np.allclose(ours[name].grad, theirs[name].grad.numpy())
    print(name, ours[name].grad.shape, "agrees with minigrad")

# %% [markdown]
# The function `loss_of` did not change: minigrad's tensors know the same operators. Its engine is the
# tape above with three differences. The parents are not held if the rule does not need them, so their
# memory can go. A plain `backward()` runs the rules on raw arrays. And the rules are written so that
# they run on *tensors* as well, which gives second derivatives (section 5).
#
# ## 4. Four mistakes, and what each does
#
# **Overwriting instead of adding.** In `a * b + a`, the second contribution to $\bar a$ replaces the
# first. The result is not small noise; it is another number.


# %%
class Overwriting(Value):
    def backward(self):
        grads = {id(self): np.ones_like(self.data)}
        for value in reversed(topological_order(self)):
            value.grad = g = grads[id(value)]
            if value.rule is not None:
                for parent, part in zip(value.parents, value.rule(g)):
                    grads[id(parent)] = part  # the mistake


a = Overwriting(3.0)
product = a * Value(2.0)
total = Overwriting((product + a).data, (product, a), lambda g: (g, g))
total.backward()
print(f"d(2a + a)/da = {a.grad} with overwriting; it is 3")
assert a.grad != 3

# %% [markdown]
# **Adding in place.** `grads[parent] += part` is shorter, and wrong: for $z = x + y$ both
# contributions are *the same array* `g`. Adding to $\bar x$ in place changes $\bar y$ too.

# %%
g = np.ones(2)
x_bar, y_bar = g, g  # z = x + y: the rule returns g twice
x_bar += 10 * np.ones(2)  # another way from x to L, added in place
print("ȳ should be", np.ones(2), "and is", y_bar)
assert y_bar[0] == 11

# %% [markdown]
# **Forgetting the sum over what was broadcast.** The gradient of `b1` then has the shape of the whole
# batch. An engine that does not check shapes "updates" the bias to a matrix, and goes on.

# %%
z = X @ arrays["W1"] + arrays["b1"]
print("bias", arrays["b1"].shape, " gradient without the sum", np.ones_like(z).shape)
assert np.ones_like(z).shape != arrays["b1"].shape

# %% [markdown]
# **Recursion.** The elegant `def visit(v): for p in v.parents: visit(p)` fails on a deep graph, such
# as a recurrent network over a few thousand steps: Python allows about a thousand nested calls.


# %%
def visit(value, seen):
    if id(value) not in seen:
        seen.add(id(value))
        for parent in value.parents:
            visit(parent, seen)


deep = x = Value(1.0)
for _ in range(5000):
    deep = deep + 0.0
failed = False
try:
    visit(deep, set())
except RecursionError:
    failed = True
print(f"recursion limit {sys.getrecursionlimit()}: failed = {failed}")
deep.backward()  # ours does not recurse
assert failed and x.grad == 1

t = mg.ones(1, requires_grad=True)
deep = t
for _ in range(20_000):
    deep = deep + 0.0
deep.backward()
assert t.grad.item() == 1

# %% [markdown]
# ## 5. Derivatives of derivatives
#
# With `create_graph=True` minigrad runs the rules on tensors, so the gradient has a tape of its own.
# The derivatives of $\tanh$, by applying `grad` again and again:

# %%
x = mg.linspace(-3, 3, 200, dtype=mg.float64, requires_grad=True)
y = mg.tanh(x)
curves = [y]
for _ in range(3):
    (y,) = mg.autograd.grad(y.sum(), x, create_graph=True)
    curves.append(y)

figure, axes = plt.subplots(figsize=(7, 3.6))
for order, curve in enumerate(curves):
    axes.plot(x.detach().numpy(), curve.detach().numpy(), label=str(order or "value"))
axes.set(xlabel="x", title="tanh and its first three derivatives")
axes.legend(title="derivative")
plt.show()

tanh = np.tanh(x.detach().numpy())
assert np.allclose(curves[1].detach().numpy(), 1 - tanh**2)
assert np.allclose(curves[2].detach().numpy(), -2 * tanh * (1 - tanh**2))
assert np.allclose(curves[3].detach().numpy(), (6 * tanh**2 - 2) * (1 - tanh**2))

# %% [markdown]
# ## 6. When do gradients reset?
#
# Never by themselves: `backward()` *adds* to `.grad`. That is what makes it possible to split a large
# batch into parts. It also means that a loop which forgets `zero_grad()` steps along the sum of all
# gradients so far, like a ball without friction: it rolls through the minimum, up the other side,
# and never comes to rest.


# %%
def descend(reset, steps=80):
    theta, losses = mg.tensor([2.0], requires_grad=True), []
    for _ in range(steps):
        loss = (theta * theta).sum()
        losses.append(loss.item())
        if reset:
            theta.grad = None
        loss.backward()
        with mg.no_grad():
            theta.sub_(theta.grad * 0.05)
    return losses


figure, axes = plt.subplots(figsize=(7, 3.2))
for reset in (True, False):
    axes.plot(descend(reset), label="with reset" if reset else "without")
axes.set(xlabel="step", ylabel="loss θ²", title="The same descent, with and without a reset")
axes.legend(loc="upper right", framealpha=1)
plt.show()
assert descend(True)[-1] < 1e-3 < max(descend(False)[-40:]) / 1000

# %% [markdown]
# ## Exercises
#
# 1. Give `Value` a method `exp`, and check $\partial \sum e^{2x} / \partial x = 2 e^{2x}$.
# 2. The gradient of $L = \sum_{ij} (A B)_{ij}$ by $A$ is $\mathbf 1 B^\top$. Check it with the tape.
# 3. What is $\partial^2 / \partial x^2$ of $x^3 y$ at $x = 2, y = 5$? Ask minigrad.

# %%
# Answers.


# 1
def exp(value):
    y = np.exp(value.data)
    return Value(y, (value,), lambda g: (g * y,))


x = Value(rng.standard_normal(4))
exp(x * 2.0).sum().backward()
assert np.allclose(x.grad, 2 * np.exp(2 * x.data))

# 2
A, B = Value(rng.standard_normal((2, 3))), Value(rng.standard_normal((3, 4)))
(A @ B).sum().backward()
assert np.allclose(A.grad, np.ones((2, 4)) @ B.data.T)

# 3: 6 x y = 60.
x, y = mg.tensor([2.0], requires_grad=True), mg.tensor([5.0])
(first,) = mg.autograd.grad((x**3 * y).sum(), x, create_graph=True)
(second,) = mg.autograd.grad(first.sum(), x)
assert second.item() == 60
print("all answers check")
