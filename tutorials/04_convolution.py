# %% [markdown]
# # Convolution, and how to make it fast
#
# After this page you can
#
# - write a convolution in four ways, and say what each costs in time and in memory;
# - derive Winograd's trick, which saves three products of four, and say when it does not pay;
# - say why a *transposed* convolution is the gradient of a convolution, and not its inverse;
# - see where checkerboard patterns come from, and choose a layer without them.
#
# You need [Backpropagation from nothing](01_backpropagation.ipynb), or to know what a gradient rule
# is. All times are shown as ratios, measured while the page ran; yours will differ.

# %%
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import threadpool_limits

import minigrad as mg

rng = np.random.default_rng(0)

# %% [markdown]
# ## 1. The formula, as loops
#
# An image $x$ has $C$ channels; the layer's output $y$ has $O$. At each position the layer reads a
# window of $k \times k$ places, its *taps*:
#
# $$y_{n o u v} = \sum_{c,i,j} w_{o c i j}\; x_{n,\, c,\, us - p + id,\, vs - p + jd}.$$
#
# The *stride* $s$ is how far the window moves, not how large it is. The *dilation* $d$ is how far
# its taps lie apart. Around the image lie $p$ rows and columns of zeros, the *padding*. The window
# spans $d(k-1) + 1$ places, and it fits
#
# $$H' = \Big\lfloor \frac{H + 2p - d(k-1) - 1}{s} \Big\rfloor + 1$$
#
# times. Loops over positions and taps say just that; images and channels are left to NumPy.


# %%
def conv_loops(x, w, stride=1, padding=0, dilation=1):
    r"""x (N, C, H, W), w (O, C, k, k) -> (N, O, H', W')"""
    (N, _, H, W), (O, _, k, _) = x.shape, w.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((size + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for size in (H, W))
    y = np.zeros((N, O, rows, columns), x.dtype)
    for u in range(rows):
        for v in range(columns):
            for i in range(k):
                for j in range(k):
                    seen = x[:, :, u * stride + i * dilation, v * stride + j * dilation]
                    y[:, :, u, v] += seen @ w[:, :, i, j].T  # (N, C) @ (C, O)
    return y


for _ in range(20):
    k, stride, dilation = rng.integers(1, 4, 3).tolist()
    padding = int(rng.integers(0, 3))
    x, w = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((4, 3, k, k))
    ours = conv_loops(x, w, stride, padding, dilation)
    library = mg.conv2d(x, w, stride=stride, padding=padding, dilation=dilation)
    assert ours.shape == library.shape and np.allclose(ours, library)
print("20 random kernels, strides, paddings, dilations: as mg.conv2d")

# %% [markdown]
# **It is a cross-correlation.** Mathematicians' convolution reads the kernel backwards,
# $(w * x)_u = \sum_i w_i\, x_{u - i}$. Deep learning kept the word and dropped the flip. A network
# that learns its kernels cannot tell, but a kernel taken from a book must be flipped first.
#
# **"Same" is not one thing.** With stride 1 and odd $k$ it is $p = (k-1)/2$ on both sides. With
# stride 2 and an even size, TensorFlow's "same" pads one row less, and all of it at the bottom and
# right; PyTorch's `padding=1` pads both sides. The shapes agree and the windows are one pixel
# apart, so weights moved from one to the other are quietly wrong.

# %%
signal, taps = rng.standard_normal(8), np.array([1.0, 2.0, -1.0])
correlated = mg.conv1d(signal[None], taps[None, None])[0]  # arrays in, array out
assert np.allclose(correlated, np.correlate(signal, taps, "valid"))
assert np.allclose(correlated, np.convolve(signal, taps[::-1], "valid"))  # flipped

ramp = np.arange(8.0)[None]  # every output says where its window's middle was
middle = np.array([[[0.0, 1.0, 0.0]]])
both_sides = mg.conv1d(ramp, middle, stride=2, padding=1)
right_only = mg.conv1d(np.pad(ramp, ((0, 0), (0, 1))), middle, stride=2)
print("middles, padding on both sides:", both_sides[0], "  on the right:", right_only[0])
assert both_sides.shape == right_only.shape and (right_only - both_sides == 1).all()

# %% [markdown]
# ## 2. One matrix product
#
# The loops make many small products. Copy instead what each position reads into a row, and the
# layer is *one* product of a matrix (positions, $C k^2$) by a matrix ($C k^2$, $O$). The copying is
# called `im2col`. `sliding_window_view` shows the windows without a copy; `reshape` then makes one.


# %%
def im2col(x, k):
    r"""x (N, C, H, W) -> (N H' W', C k k)"""
    windows = sliding_window_view(x, (k, k), axis=(2, 3))  # (N, C, H', W', k, k)
    N, C, rows, columns = windows.shape[:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(N * rows * columns, C * k * k)


def conv_im2col(x, w):
    r"""Stride 1, and as much padding as keeps the size."""
    (N, _, H, W), (O, _, k, _) = x.shape, w.shape
    p = k // 2
    columns = im2col(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), k)
    return (columns @ w.reshape(O, -1).T).reshape(N, H, W, O).transpose(0, 3, 1, 2)


def seconds(function, repeats=5):
    r"""The shortest of a few runs: what disturbs a run only ever makes it longer."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_mib(function):
    r"""Most memory that ``function`` held at any time, results included."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


x = rng.standard_normal((128, 64, 16, 16)).astype(np.float32)
w = rng.standard_normal((64, 64, 3, 3)).astype(np.float32) / 24
expected = conv_loops(x, w, padding=1)
assert np.allclose(conv_im2col(x, w), expected, atol=1e-4)

with threadpool_limits(1, user_api="blas"):  # thousands of small products: not worth sharing out
    for part in (x[:1], x):
        loops_time = seconds(lambda part=part: conv_loops(part, w, padding=1), repeats=3)
        im2col_time = seconds(lambda part=part: conv_im2col(part, w))
        factor = loops_time / im2col_time
        print(f"{len(part):3d} images: im2col is {factor:.1f} times as fast as the loops")
im2col_time = seconds(lambda: conv_im2col(x, w))
im2col_memory = peak_mib(lambda: conv_im2col(x, w))
print(f"images {x.nbytes / 2**20:.0f} MiB, im2col at its peak {im2col_memory:.0f} MiB")
assert im2col_memory > 9 * x.nbytes / 2**20

# %% [markdown]
# Expect a factor between 8 and 50 for one image and between 1.5 and 5 for 128. The loops pay for
# each of their 2,304 products, however small; 128 images make each product large enough to matter.
# (Left to its own threads, BLAS may make the loops several times slower: sharing a small product
# can cost more than it saves. Against such loops anything looks good.)
#
# The price is memory: every pixel is read by $k^2$ windows and so is copied $k^2$ times, here nine.
# A network that keeps such a matrix of every layer until the backward pass is soon out of memory.
# It is slow, too: 72 MiB do not fit in most caches, so they go out to main memory and come back.
#
# ## 3. A few images at a time, channels last, two threads
#
# Three changes, none of them in the arithmetic:
#
# - **Chunks.** Columns of a few images are made, multiplied and overwritten while they are still in
#   the cache. The whole matrix never exists.
# - **Channels last.** Stored as (N, H, W, C), the $k$ pixels in one row of a window with all their
#   channels are *one contiguous run* of $kC$ numbers. A row of the matrix is $k$ such runs, instead
#   of $C k$ runs of $k$ numbers.
# - **Threads.** NumPy releases Python's interpreter lock inside copies and products, so that two
#   Python threads do two chunks at once. BLAS is told to use one thread in each; otherwise both
#   levels compete for the same cores.


# %%
def in_chunks(layer, x, n_out, images, threads=2):
    r"""``layer`` on a few images (n, H, W, C) at a time -> (N, H, W, n_out)"""
    out = np.empty((*x.shape[:3], n_out), x.dtype)

    def work(n):
        out[n : n + images] = layer(x[n : n + images])

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, len(x), images)))
    return out


def columns_last(x, k):
    r"""x (n, H, W, C) -> (n H W, k k C), padded so that the size stays"""
    p = k // 2
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = sliding_window_view(x, (k, k), axis=(1, 2))  # (n, H, W, C, k, k)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, k * k * x.shape[3])


def conv_chunks(x, w, images=4, threads=2):
    r"""x (N, H, W, C), w (O, C, k, k) -> (N, H, W, O)"""
    O, _, k, _ = w.shape
    matrix = w.transpose(2, 3, 1, 0).reshape(-1, O)  # (k k C, O)

    def layer(part):
        return (columns_last(part, k) @ matrix).reshape(*part.shape[:3], O)

    return in_chunks(layer, x, O, images, threads)


x_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))  # (N, H, W, C)
expected_last = expected.transpose(0, 2, 3, 1)
assert np.allclose(conv_chunks(x_last, w), expected_last, atol=1e-4)

sizes = [1, 2, 4, 8, 16, 32, 64, 128]
chunk_time = [seconds(lambda n=n: conv_chunks(x_last, w, n)) for n in sizes]
chunk_memory = [peak_mib(lambda n=n: conv_chunks(x_last, w, n)) for n in sizes]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
left.plot(sizes, np.array(chunk_time) / im2col_time, "o-", label="chunks, 2 threads")
left.axhline(1, color="C1", label="im2col, all at once")
left.set(ylabel="time / time of im2col", title="Time", ylim=0)
right.plot(sizes, chunk_memory, "o-", label="chunks, 2 threads")
right.axhline(im2col_memory, color="C1", label="im2col, all at once")
right.axhline(x.nbytes / 2**20, color="C2", label="the result alone")
right.set(ylabel="MiB", title="Peak of memory", ylim=0)
for axes in (left, right):
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, sizes)
    axes.set_xlabel("images in a chunk")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8)
plt.show()
assert chunk_memory[sizes.index(4)] < im2col_memory / 3

# %% [markdown]
# On two free cores expect small chunks to take a fifth to two thirds of im2col's time, and a
# quarter of its memory or less, most of which is the result itself. Chunks can be too small as
# well: each has a fixed cost, and a product of few rows is slow. With all 128 images in one chunk
# the second thread has nothing to do, and what is left is the gain from channels last.
#
# ## 4. Fewer products: Winograd
#
# Until here only the order of the work has changed. Shmuel Winograd found that there can be *less*.
# Take one dimension, four inputs, three weights, and the two outputs
#
# $$y_0 = x_0 w_0 + x_1 w_1 + x_2 w_2, \qquad y_1 = x_1 w_0 + x_2 w_1 + x_3 w_2 :$$
#
# six products. Take $m_1 = (x_0 - x_2)\,w_0$ out of the first and put $m_4 = (x_1 - x_3)\, w_2$ on
# the second. What is left contains $x_1$ and $x_2$ alone, and is the same twice, with the roles
# swapped:
#
# $$y_0 - m_1 = x_1 w_1 + x_2 (w_0 + w_2), \qquad y_1 + m_4 = x_2 w_1 + x_1 (w_0 + w_2).$$
#
# Their sum is $(x_1 + x_2)(w_0 + w_1 + w_2) = 2 m_2$, their difference
# $(x_1 - x_2)(w_1 - w_0 - w_2) = 2 m_3$, one product each. So
#
# $$y_0 = m_1 + m_2 + m_3, \qquad y_1 = m_2 - m_3 - m_4 :$$
#
# **four products instead of six.** The sums of weights are made once and serve all positions. As
# matrices, $y = A^\top [(G w) \odot (B^\top x)]$.


# %%
def two_outputs(x, w):
    m1 = (x[0] - x[2]) * w[0]
    m2 = (x[1] + x[2]) * ((w[0] + w[1] + w[2]) / 2)
    m3 = (x[1] - x[2]) * ((w[1] - w[0] - w[2]) / 2)
    m4 = (x[1] - x[3]) * w[2]
    return [m1 + m2 + m3, m2 - m3 - m4]


four, three = rng.standard_normal(4), rng.standard_normal(3)
assert np.allclose(two_outputs(four, three), np.correlate(four, three, "valid"))
print("four products give the two outputs:", np.round(two_outputs(four, three), 4))

# %% [markdown]
# **More outputs at a time.** The recipe behind it: to multiply two polynomials, evaluate both at
# enough points, multiply the values, and interpolate. One with $m$ coefficients times one with 3
# has $n = m + 2$, so $n$ points and $n$ products do. With $V_j$ the first $j$ columns of the
# Vandermonde matrix of the points ("infinity" picks the highest coefficient), the coefficients are
#
# $$V_n^{-1}\, [(V_3 w) \odot (V_m a)].$$
#
# This maps $a$ ($m$ numbers) to $n$ numbers; correlation with $w$ maps $n$ to $m$, and is its
# transpose: $y = V_m^\top [(V_3 w) \odot (V_n^{-\top} x)]$. For round numbers a factor of each
# point is moved from $B^\top = V_n^{-\top}$ to $G = V_3$. In two dimensions the same is done to
# rows and to columns, $Y = A^\top [(G W G^\top) \odot (B^\top X B)] A$.


# %%
def winograd_matrices(points):
    r"""(Aᵀ, G, Bᵀ) of F(m, 3), from m + 1 points and infinity."""
    p = np.array(points, float)
    n = len(p) + 1
    V = np.vstack([np.vander(p, n, increasing=True), np.eye(n)[-1]])  # the last row: infinity
    factor = np.array([np.prod([a - b for b in p if b != a]) for a in p] + [1.0])
    AT, G, BT = V[:, : n - 2].T.copy(), V[:, :3].copy(), np.linalg.inv(V).T
    AT[:, -1], G[-1] = np.eye(n - 2)[-1], np.eye(3)[-1]  # their own highest coefficients
    return AT, G / factor[:, None], np.round(BT * factor[:, None], 9) + 0.0


POINTS = {2: (0, 1, -1), 4: (0, 1, -1, 2, -2), 6: (0, 1, -1, 2, -2, 1 / 2, -1 / 2)}
AT, G, BT = winograd_matrices(POINTS[4])
for name, matrix in {"Bᵀ": BT, "24 G": 24 * G, "Aᵀ": AT}.items():
    print(name, np.round(matrix).astype(int), sep="\n")

image, kernel = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
tile = AT @ ((G @ kernel @ G.T) * (BT @ image @ BT.T)) @ AT.T
assert np.allclose(tile, conv_loops(image[None, None], kernel[None, None])[0, 0])
print(f"a tile of 4 x 4 outputs: {G.shape[0] ** 2} products instead of {16 * 9}")

# %% [markdown]
# **A whole layer.** Cut the image into tiles of $6\times6$ that overlap by two. At each of the
# tile's 36 places, the sum over channels is a matrix product (tiles, $C$) @ ($C$, $O$), all 36 in
# one call. The transforms are the same for every tile and channel, so they are matrix products too,
# with $B^\top \otimes B^\top$ (36, 36) and so on.


# %%
def conv_winograd(x, w, m=4, images=8, threads=2):
    r"""x (N, H, W, C), w (O, C, 3, 3) -> (N, H, W, O), in tiles of m x m outputs"""
    (_, H, W, C), O, n = x.shape, len(w), m + 2
    AT, G, BT = (np.kron(a, a).astype(x.dtype) for a in winograd_matrices(POINTS[m]))
    U = (G @ w.transpose(2, 3, 1, 0).reshape(9, -1)).reshape(n * n, C, O)  # once a layer
    rows, columns = -(-H // m), -(-W // m)  # the last tiles may be partly empty

    def layer(part):
        N = len(part)
        bottom, right = 1 + rows * m - H, 1 + columns * m - W
        part = np.pad(part, ((0, 0), (1, bottom), (1, right), (0, 0)))
        tiles = sliding_window_view(part, (n, n), axis=(1, 2))[:, ::m, ::m]
        tiles = tiles.transpose(4, 5, 0, 1, 2, 3).reshape(n * n, -1)  # (n², N tiles C)
        Y = (BT @ tiles).reshape(n * n, -1, C) @ U  # (n², N tiles, O)
        y = (AT @ Y.reshape(n * n, -1)).reshape(m, m, N, rows, columns, O)
        y = y.transpose(2, 3, 0, 4, 1, 5).reshape(N, rows * m, columns * m, O)
        return y[:, :H, :W]

    return in_chunks(layer, x, O, images, threads)


assert np.allclose(conv_winograd(x_last, w), expected_last, atol=1e-3)
odd = x_last[:2, :13, :10]
assert np.allclose(conv_winograd(odd, w), conv_chunks(odd, w), atol=1e-3)


# %% [markdown]
# **The race.** Each way in turn, several times over, so that a disturbance from outside hits all of
# them alike; the shortest time of each counts.

# %%
library_x, library_w = mg.tensor(x_last).permute(0, 3, 1, 2), mg.tensor(w)
library_y = mg.conv2d(library_x, library_w, padding=1)
assert np.allclose(library_y.numpy(), expected, atol=1e-3)

ways = {
    "im2col": lambda: conv_im2col(x, w),
    "chunks, 1 thread": lambda: conv_chunks(x_last, w, threads=1),
    "chunks, 2 threads": lambda: conv_chunks(x_last, w),
    "Winograd, 2 threads": lambda: conv_winograd(x_last, w),
    "mg.conv2d": lambda: mg.conv2d(library_x, library_w, padding=1),
}
rounds = [{name: seconds(way, 1) for name, way in ways.items()} for _ in range(12)]
taken = {"loops": loops_time} | {name: min(r[name] for r in rounds) for name in ways}

names = list(taken)[::-1]
ratio = [taken[name] / taken["im2col"] for name in names]
figure, axes = plt.subplots(figsize=(8, 3))
bars = axes.barh(names, ratio, color=["C2" if name == "mg.conv2d" else "C0" for name in names])
axes.bar_label(bars, [f"{value:.2g}" for value in ratio], padding=4)
axes.set_xlim(0, 1.1 * max(ratio))
axes.set(xlabel="time / time of im2col", title="The same 128 images, six ways")
figure.tight_layout()
plt.show()

# %% [markdown]
# Expect Winograd to take between half and one and a half times as long as the chunks with as many
# threads. A quarter of the products is not a quarter of the time: the transforms must be computed,
# and memory be moved. The library does the same with buffers that it keeps, and is about as fast or
# faster.
#
# **The price: rounding.** The transforms add and subtract large multiples that would cancel in
# exact arithmetic. Tiles of $2 \times 2$ outputs (16 products for 36) are about as exact as the
# direct way; $4 \times 4$ lose nearly a digit; $6 \times 6$ (64 for 324) lose more.

# %%
exact = conv_chunks(x_last[:8].astype(np.float64), w.astype(np.float64))
error = {"direct": (conv_chunks(x_last[:8], w) - exact).std()}
for m in POINTS:
    error[f"F({m}x{m}, 3x3)"] = (conv_winograd(x_last[:8], w, m) - exact).std()
for name, value in error.items():
    times = value / error["direct"]
    print(f"{name:12s} error in float32 {value:.1e}, {times:4.1f} x direct")
assert error["F(2x2, 3x3)"] < error["F(4x4, 3x3)"] < error["F(6x6, 3x3)"] < 1e-2

channels = 2.0 ** np.arange(0, 10)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
direct = 144 * channels**2
left.loglog(channels, (36 * channels**2 + (1296 + 576) * channels) / direct, "o-", base=2)
left.set(xlabel="channels, C = O", ylabel="products / direct", title="Full tiles")
side = np.arange(1, 33)
filled = side**2 / (16 * np.ceil(side / 4) ** 2)
right.semilogy(side, (36 * 64**2 + 1872 * 64) / (144 * 64**2) / filled, "o-", ms=3, base=2)
right.set(xlabel="height and width of the output", title="64 channels")
for axes in (left, right):
    axes.axhline(1, color="C1")
figure.tight_layout()
plt.show()

# %% [markdown]
# **When it does not pay**, counting the transforms' products ($36 \cdot 36\, C + 16 \cdot 36\, O$ a
# tile) with the others. Below the orange line it saves.
#
# - *Few channels*: the transforms grow like $C + O$, what they save like $C\,O$. Even with 32
#   channels, the count is two thirds of the direct way's, and transforms are slow for their count.
# - *Small images*: outputs come in tiles of $4\times4$; of a $5\times5$ image's four tiles, 39
#   places of 64 are thrown away.
# - *float64*, where one wants the digits: the library uses Winograd for float32 only.
#
# ## 5. The gradient is the adjoint
#
# For a fixed kernel, convolution is linear in $x$: $y = A x$ with some sparse matrix $A$. Its rule
# is $\bar x = A^\top \bar y$, and that is the definition of the **transposed convolution**. It is
# checked by two inner products,
#
# $$\langle A x,\, g\rangle = \langle x,\, A^\top g\rangle \quad\text{for all } x, g.$$
#
# Many texts call it *deconvolution*. A deconvolution would undo: $A^{-1} A x = x$. This one does
# not. It gives back the shape, not the image.

# %%
for _ in range(20):
    k, stride, dilation = rng.integers(1, 4, 3).tolist()
    padding = int(rng.integers(0, 2))
    image, weight = rng.standard_normal((2, 3, 9, 9)), rng.standard_normal((4, 3, k, k))
    y = mg.conv2d(image, weight, stride=stride, padding=padding, dilation=dilation)
    g = rng.standard_normal(y.shape)
    # Rows at the end which no window reached: output_padding brings them back.
    rest = (9 + 2 * padding - dilation * (k - 1) - 1) % stride
    back = mg.conv_transpose2d(g, weight, stride=stride, padding=padding, output_padding=rest,
                               dilation=dilation)  # fmt: skip
    assert np.isclose((y * g).sum(), (image * back).sum())
print("<conv(x), g> = <x, conv_transpose(g)> for 20 random layers")

kernel = np.array([[[1.0, 2.0, -1.0]]])
A = np.stack([mg.conv1d(e[None], kernel, stride=2, padding=1)[0] for e in np.eye(12)], 1)
A_back = np.stack([
    mg.conv_transpose1d(e[None], kernel, stride=2, padding=1, output_padding=1)[0]
    for e in np.eye(6)
], 1)  # fmt: skip
figure, panels = plt.subplots(1, 3, figsize=(9, 3.4))
titles = ("conv: A (6, 12)", "conv_transpose: (12, 6)", "the one after the other: not I")
for axes, matrix, title in zip(panels, (A, A_back, A_back @ A), titles):
    axes.imshow(matrix, cmap="RdBu", vmin=-5, vmax=5)
    axes.set_title(title, fontsize=10)
figure.tight_layout()
plt.show()
assert (A_back == A.T).all()

photo = mg.tensor(rng.standard_normal((1, 1, 16, 16)))
blur = mg.ones(1, 1, 3, 3, dtype=mg.float64) / 9
again = mg.conv_transpose2d(mg.conv2d(photo, blur, padding=1), blur, padding=1)
distance = float(((again - photo) ** 2).sum() / (photo**2).sum()) ** 0.5
print(f"|conv_transpose(conv(x)) - x| / |x| = {distance:.2f}   (an image of zeros: 1.00)")
assert distance > 0.5

# %% [markdown]
# **For the kernel** convolution is linear as well, and
#
# $$\bar w_{o c i j} = \sum_{n,u,v} \bar y_{n o u v}\; x_{n,\, c,\, us - p + id,\, vs - p + jd}$$
#
# is again a convolution: over the images $x$, with $\bar y$ as the kernel, images in the place of
# channels, and stride and dilation swapped.
#
# **The classic `col2im` mistake.** Written with im2col, the input's gradient takes the columns'
# gradients back to their pixels, where up to $k^2$ of them must be *added*. `gx[index] += columns`
# looks like that, but NumPy reads, adds and writes once per pixel, and overlaps are lost.

# %%
x_small = mg.tensor(rng.standard_normal((5, 3, 9, 9)), requires_grad=True)
w_small = mg.tensor(rng.standard_normal((4, 3, 3, 3)), requires_grad=True)
y = mg.conv2d(x_small, w_small, stride=2, padding=1)
g = rng.standard_normal(tuple(y.shape))
gx, gw = (t.numpy() for t in mg.autograd.grad(y, (x_small, w_small), mg.tensor(g)))

as_kernel = g.transpose(1, 0, 2, 3)  # (O, N, H', W')
swapped = x_small.detach().numpy().transpose(1, 0, 2, 3)  # (C, N, H, W)
by_conv = mg.conv2d(swapped, as_kernel, stride=1, padding=1, dilation=2)  # (C, O, 3, 3)
assert np.allclose(by_conv.transpose(1, 0, 2, 3), gw)

row, taps = np.zeros(6), np.arange(4)[:, None] + np.arange(3)  # (4 windows, 3 taps) over 6 pixels
row[taps] += 1.0
right_row = np.zeros(6)
np.add.at(right_row, taps, 1.0)
print("windows that read each pixel:", right_row, "  with +=:", row)
assert (right_row == [1, 2, 3, 3, 2, 1]).all() and (row == 1).all()

# %% [markdown]
# **Both gradients from one matrix of columns.** With stride 1, col2im is not needed at all. The
# adjoint of a stride-1 convolution is a stride-1 convolution with the *flipped* kernel, so $\bar x$
# is `columns(g) @ flipped`. And the weight's gradient, with $r = u + i - p$ for $u$, sums
# $x_r\, \bar y_{r - i + p}$ over pixels $r$: what the columns of $\bar y$ hold, in reverse order.
# So `x.T @ columns(g)` is $\bar w$, flipped. The columns of $x$ are never made again, and nothing
# but $x$ is kept from the forward pass.


# %%
def conv_backward(g, x, w):
    r"""g (N, H, W, O), x (N, H, W, C), w (O, C, k, k), stride 1 -> the gradients of x and w"""
    O, C, k, _ = w.shape
    columns = columns_last(g, k)  # (N H W, k k O)
    flipped = w[:, :, ::-1, ::-1].transpose(2, 3, 0, 1).reshape(-1, C)  # (k k O, C)
    gx = (columns @ flipped).reshape(x.shape)
    gw = (x.reshape(-1, C).T @ columns).reshape(C, k, k, O)[:, ::-1, ::-1]
    return gx, gw.transpose(3, 0, 1, 2)


x_small = mg.tensor(rng.standard_normal((5, 3, 9, 9)), requires_grad=True)
y = mg.conv2d(x_small, w_small, padding=1)
g = rng.standard_normal(tuple(y.shape))
gx, gw = (t.numpy() for t in mg.autograd.grad(y, (x_small, w_small), mg.tensor(g)))
values = (g, x_small.detach().numpy())
ours_x, ours_w = conv_backward(*(a.transpose(0, 2, 3, 1) for a in values), w_small.detach().numpy())
assert np.allclose(ours_x.transpose(0, 3, 1, 2), gx) and np.allclose(ours_w, gw)
print("one matrix of columns, both gradients: as the library's")

# %% [markdown]
# ## 6. Checkerboards
#
# Generators and decoders enlarge images with transposed convolutions of stride 2. Each input value
# stamps the kernel on the output, two pixels after the last stamp. If the kernel's size is not a
# multiple of the stride, some pixels get more stamps than others, whatever the image (Odena,
# Dumoulin and Olah, 2016). The number of stamps is what a kernel of ones makes of an image of ones.


# %%
def stamps(k, stride=2, size=8):
    one = mg.ones(1, 1, size, size)
    return mg.conv_transpose2d(one, mg.ones(1, 1, k, k), stride=stride).numpy()[0, 0]


figure, panels = plt.subplots(1, 2, figsize=(9, 3.7))
for axes, k in zip(panels, (3, 4)):
    picture = axes.imshow(stamps(k), cmap="viridis", vmin=0, vmax=4)
    inside = stamps(k)[k:-k, k:-k]  # away from the edges
    counts = ", ".join(f"{count:.0f}" for count in np.unique(inside))
    axes.set_title(f"kernel {k}, stride 2: {counts} stamps", fontsize=10)
    axes.axis("off")
figure.colorbar(picture, ax=panels, ticks=range(5), label="stamps on a pixel")
plt.show()
assert set(stamps(3)[3:-3, 3:-3].ravel()) == {1, 2, 4} and set(stamps(4)[4:-4, 4:-4].ravel()) == {4}

# %% [markdown]
# Two remedies: a kernel divisible by the stride, such as 4 for stride 2; or nearest-neighbour
# enlargement followed by an ordinary convolution. How much does each help? Give each layer a
# constant image and random weights. The output should be constant. Its *unevenness*: the standard
# deviation over its pixels, away from the edges, divided by their root mean square.


# %%
def unevenness(layer, k, trials=200):
    r"""Over random kernels whose weights have mean 1 and standard deviation 0.3."""
    squares = np.zeros(2)
    for _ in range(trials):
        weight = mg.tensor(1 + 0.3 * rng.standard_normal((1, 1, k, k)))
        y = layer(mg.ones(1, 1, 8, 8, dtype=mg.float64), weight).numpy()[0, 0]
        inside = y[4:12, 4:12]  # whole periods of the pattern
        squares += inside.var(), (inside**2).mean()
    return float(np.sqrt(squares[0] / squares[1]))


def transposed(x, weight):
    return mg.conv_transpose2d(x, weight, stride=2)


def enlarged(x, weight):
    larger = mg.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    return mg.conv2d(larger, weight, padding=1)


measured = {
    "transposed, kernel 3": unevenness(transposed, 3),
    "transposed, kernel 4": unevenness(transposed, 4),
    "nearest, then kernel 3": unevenness(enlarged, 3),
}
for name, value in measured.items():
    print(f"{name:24s} unevenness {value:.3f}")
assert measured["transposed, kernel 3"] > 0.4
assert 0.05 < measured["transposed, kernel 4"] < 0.25
assert measured["nearest, then kernel 3"] < 1e-12

# %% [markdown]
# Kernel 4 makes the *number* of stamps even; the four kinds of pixels still get different weights,
# and training has to make these agree. Enlarging first treats all pixels alike, so nothing is left
# but rounding. It costs more: $9$ products an output pixel instead of $4^2 / 2^2 = 4$. The gradient
# of a strided convolution is a transposed one, so discriminators with kernel 3 and stride 2 send
# checkerboards *back* as well.
#
# ## Exercises
#
# 1. Dilation 2 with a $3 \times 3$ kernel is dilation 1 with a larger kernel that has zeros in it.
#    Write the kernel, and check.
# 2. How many parameters has a layer of $3 \times 3$ from 64 to 128 channels, with bias? And a
#    *depthwise separable* one: $3 \times 3$ on each of the 64 channels by itself (`groups=64`),
#    then $1 \times 1$ from 64 to 128, both with bias?
# 3. A depthwise layer is an ordinary one whose kernel is mostly zero. Which entries are not?
# 4. Kernel 3, stride 2, padding 1 makes 4 rows both of 7 rows and of 8. Which `output_padding`
#    makes 8 again?
# 5. Three layers of $3 \times 3$ with dilations 1, 2, 4: how many pixels across does one output
#    see?

# %%
# Answers.
# 1
image, kernel = mg.tensor(rng.standard_normal((1, 2, 9, 9))), rng.standard_normal((3, 2, 3, 3))
stuffed = np.zeros((3, 2, 5, 5))
stuffed[:, :, ::2, ::2] = kernel
assert np.allclose(mg.conv2d(image, kernel, dilation=2).numpy(), mg.conv2d(image, stuffed).numpy())


# 2
def parameters(*layers):
    return sum(p.numel() for layer in layers for p in layer.parameters())


assert parameters(mg.nn.Conv2d(64, 128, 3)) == 64 * 128 * 9 + 128 == 73856
assert parameters(mg.nn.Conv2d(64, 64, 3, groups=64), mg.nn.Conv2d(64, 128, 1)) == 8960

# 3: those with the same input as output channel.
image, kernel = mg.tensor(rng.standard_normal((1, 4, 6, 6))), rng.standard_normal((4, 1, 3, 3))
full = np.zeros((4, 4, 3, 3))
full[np.arange(4), np.arange(4)] = kernel[:, 0]
assert np.allclose(mg.conv2d(image, kernel, groups=4).numpy(), mg.conv2d(image, full).numpy())

# 4: 1, as (4 - 1) 2 - 2 + (3 - 1) + 1 + 1 = 8.
for rows, output_padding in ((7, 0), (8, 1)):
    down = mg.conv2d(mg.ones(1, 1, rows, rows), mg.ones(1, 1, 3, 3), stride=2, padding=1)
    up = mg.conv_transpose2d(down, mg.ones(1, 1, 3, 3), stride=2, padding=1,
                             output_padding=output_padding)  # fmt: skip
    assert down.shape[2] == 4 and up.shape[2] == rows

# 5: 1 + 2 (1 + 2 + 4) = 15. The gradient of the middle output shows what it sees.
image = mg.zeros(1, 1, 31, 31, requires_grad=True)
y = image
for dilation in (1, 2, 4):
    y = mg.conv2d(y, mg.ones(1, 1, 3, 3), padding=dilation, dilation=dilation)
y[0, 0, 15, 15].backward()
assert np.count_nonzero(image.grad.numpy()[0, 0, 15]) == 15
print("all answers check")
