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
# layer is *one* product of a matrix (positions, $k^2 C$) by a matrix ($k^2 C$, $O$). The copying is
# called `im2col`. `sliding_window_view` shows the windows without a copy; `reshape` then makes one.
# It is cheaper with **channels last**: of an image stored as (N, H, W, C), the $k$ pixels in one row
# of a window with all their channels are *one contiguous run* of $kC$ numbers, and a row of the
# matrix is $k$ such runs, instead of $C k$ runs of $k$ numbers.


# %%
def im2col(x, k):
    r"""x (N, H, W, C) -> (N H W, k k C): stride 1, padded so that the size stays"""
    p = k // 2
    x = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = sliding_window_view(x, (k, k), axis=(1, 2))  # (N, H, W, C, k, k)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, k * k * x.shape[3])


def conv_im2col(x, w):
    r"""x (N, H, W, C), w (O, C, k, k) -> (N, H, W, O)"""
    O, _, k, _ = w.shape
    matrix = w.transpose(2, 3, 1, 0).reshape(-1, O)  # (k k C, O)
    return (im2col(x, k) @ matrix).reshape(*x.shape[:3], O)


x = rng.standard_normal((128, 64, 16, 16)).astype(np.float32)
w = rng.standard_normal((64, 64, 3, 3)).astype(np.float32) / 24
x_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))  # (N, H, W, C)
expected = conv_loops(x, w, padding=1).transpose(0, 2, 3, 1)
assert np.allclose(conv_im2col(x_last, w), expected, atol=1e-4)
print(f"images: {x.nbytes / 2**20:.0f} MiB, their columns: {im2col(x_last, 3).nbytes / 2**20:.0f}")

# %% [markdown]
# The price is memory: every pixel is read by $k^2$ windows and so is copied $k^2$ times, here nine.
# A network that keeps such a matrix of every layer until the backward pass is soon out of memory.
# It is slow, too: 72 MiB do not fit in most caches, so they go out to main memory and come back.
#
# ## 3. A few images at a time, in two threads
#
# Two changes, neither of them in the arithmetic:
#
# - **Chunks.** Columns of a few images are made, multiplied and overwritten while they are still in
#   the cache. The whole matrix never exists. Chunks can be too small as well: each has a fixed cost,
#   and a product of few rows is slow.
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


def conv_chunks(x, w, images=4, threads=2):
    return in_chunks(lambda part: conv_im2col(part, w), x, len(w), images, threads)


assert np.allclose(conv_chunks(x_last, w), expected, atol=1e-4)

# %% [markdown]
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
# enough points, multiply the values, and interpolate. One with 4 coefficients times one with 3 has
# 6, so six points and six products do. With $V_j$ the first $j$ columns of the points' Vandermonde
# matrix ("infinity" picks the highest coefficient) the coefficients are
# $V_6^{-1} [(V_3 w) \odot (V_4 a)]$. That maps 4 numbers to 6; correlation with $w$ maps 6 to 4 and is
# its transpose: $y = V_4^\top [(V_3 w) \odot (V_6^{-\top} x)]$. For round numbers a factor of each
# point is moved from $B^\top = V_6^{-\top}$ to $G = V_3$. In two dimensions the same is done to rows
# and to columns, $Y = A^\top [(G W G^\top) \odot (B^\top X B)] A$.

# %%
points = np.array([0.0, 1, -1, 2, -2])
V = np.vstack([np.vander(points, 6, increasing=True), np.eye(6)[-1]])  # the last row: infinity
factor = np.array([np.prod([a - b for b in points if b != a]) for a in points] + [1.0])
AT, G, BT = V[:, :4].T.copy(), V[:, :3].copy(), np.linalg.inv(V).T
AT[:, -1], G[-1] = np.eye(4)[-1], np.eye(3)[-1]  # their own highest coefficients
G, BT = G / factor[:, None], np.round(BT * factor[:, None], 9)

image, kernel = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
tile = AT @ ((G @ kernel @ G.T) * (BT @ image @ BT.T)) @ AT.T
assert np.allclose(tile, conv_loops(image[None, None], kernel[None, None])[0, 0])
print(f"a tile of 4 x 4 outputs: {6**2} products instead of {16 * 9}")

# %% [markdown]
# **A whole layer.** Cut the image into tiles of $6\times6$ that overlap by two. At each of the
# tile's 36 places, the sum over channels is a matrix product (tiles, $C$) @ ($C$, $O$), all 36 in
# one call. The transforms are the same for every tile and channel, so they are matrix products too,
# with $B^\top \otimes B^\top$ (36, 36) and so on.


# %%
def conv_winograd(x, w, images=8, threads=2):
    r"""x (N, H, W, C), w (O, C, 3, 3) -> (N, H, W, O), in tiles of 4 x 4 outputs"""
    (_, H, W, C), O = x.shape, len(w)
    AT2, G2, BT2 = (np.kron(a, a).astype(x.dtype) for a in (AT, G, BT))
    U = (G2 @ w.transpose(2, 3, 1, 0).reshape(9, -1)).reshape(36, C, O)  # once a layer
    rows, columns = -(-H // 4), -(-W // 4)  # the last tiles may be partly empty

    def layer(part):
        N = len(part)
        bottom, right = 1 + rows * 4 - H, 1 + columns * 4 - W
        part = np.pad(part, ((0, 0), (1, bottom), (1, right), (0, 0)))
        tiles = sliding_window_view(part, (6, 6), axis=(1, 2))[:, ::4, ::4]
        tiles = tiles.transpose(4, 5, 0, 1, 2, 3).reshape(36, -1)  # (36, N tiles C)
        Y = (BT2 @ tiles).reshape(36, -1, C) @ U  # (36, N tiles, O)
        y = (AT2 @ Y.reshape(36, -1)).reshape(4, 4, N, rows, columns, O)
        y = y.transpose(2, 3, 0, 4, 1, 5).reshape(N, rows * 4, columns * 4, O)
        return y[:, :H, :W]

    return in_chunks(layer, x, O, images, threads)


assert np.allclose(conv_winograd(x_last, w), expected, atol=1e-3)

# %% [markdown]
# **The race.** Each way in turn, several times over, so that a disturbance from outside hits all of
# them alike; the shortest time of each counts.

# %%
library_x, library_w = mg.tensor(x_last).permute(0, 3, 1, 2), mg.tensor(w)
library_y = mg.conv2d(library_x, library_w, padding=1).permute(0, 2, 3, 1)
assert np.allclose(library_y.numpy(), expected, atol=1e-3)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


one_thread = threadpool_limits.wrap(limits=1, user_api="blas")
ways = {
    "loops": one_thread(lambda: conv_loops(x, w, padding=1)),  # too small to be shared out
    "im2col": lambda: conv_im2col(x_last, w),
    "chunks, 1 thread": lambda: conv_chunks(x_last, w, threads=1),
    "chunks, 2 threads": lambda: conv_chunks(x_last, w),
    "Winograd, 2 threads": lambda: conv_winograd(x_last, w),
    "mg.conv2d": lambda: mg.conv2d(library_x, library_w, padding=1),
}
rounds = [{name: seconds(way) for name, way in ways.items()} for _ in range(12)]
taken = {name: min(r[name] for r in rounds) for name in ways}
for name, value in taken.items():
    print(f"{name:20s} {value / taken['im2col']:5.2f} of im2col's time")

# %% [markdown]
# On two free cores expect the loops to take two to five times as long as im2col, chunks a fifth to
# two thirds, and Winograd between half and one and a half times as long as the chunks with as many
# threads. A quarter of the products is not a quarter of the time: the transforms must be computed,
# and memory be moved. The library does the same with buffers that it keeps, and is about as fast or
# faster.
#
# **The price: rounding.** The transforms add and subtract large multiples that would cancel in
# exact arithmetic; tiles of $4 \times 4$ lose nearly a digit. So the library uses Winograd for
# float32 only, and not for float64, where one wants the digits.
#
# **When it does not pay.** A tile needs $36\, C\, O$ products in the place of $144\, C\, O$, but also
# $36 \cdot 36\, C + 16 \cdot 36\, O$ for its transforms. With 17 channels in and out that is as many as
# the direct way, with 32 two thirds. And of a $5\times5$ image's four tiles, 39 places of 64 are
# thrown away.

# %%
exact = conv_chunks(x_last[:8].astype(np.float64), w.astype(np.float64))
direct, fewer = ((conv(x_last[:8], w) - exact).std() for conv in (conv_chunks, conv_winograd))
print(f"error in float32: direct {direct:.1e}, Winograd {fewer / direct:.1f} times that")
assert direct < fewer < 1e-4

# %% [markdown]
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

photo, blur = rng.standard_normal((1, 1, 16, 16)), np.full((1, 1, 3, 3), 1 / 9)
again = mg.conv_transpose2d(mg.conv2d(photo, blur, padding=1), blur, padding=1)
distance = np.linalg.norm(again - photo) / np.linalg.norm(photo)
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
x, w = (
    mg.randn(*shape, dtype=mg.float64, requires_grad=True) for shape in ((5, 3, 9, 9), (4, 3, 3, 3))
)
y = mg.conv2d(x, w, stride=2, padding=1)
g = mg.randn(*y.shape, dtype=mg.float64)
by_conv = mg.conv2d(x.transpose(0, 1), g.transpose(0, 1), padding=1, dilation=2).transpose(0, 1)
assert np.allclose(by_conv.detach(), mg.autograd.grad(y, w, g)[0])

row, taps = np.zeros(6), np.arange(4)[:, None] + np.arange(3)  # (4 windows, 3 taps) over 6 pixels
row[taps] += 1.0
right_row = np.zeros(6)
np.add.at(right_row, taps, 1.0)
print("windows that read each pixel:", right_row, "  with +=:", row)
assert (right_row == [1, 2, 3, 3, 2, 1]).all() and (row == 1).all()

# %% [markdown]
# ## 6. Checkerboards
#
# Generators and decoders enlarge images with transposed convolutions of stride 2. Each input value
# stamps the kernel on the output, two pixels after the last stamp. If the kernel's size is not a
# multiple of the stride, some pixels get more stamps than others, whatever the image: with kernel 3
# one, two or four (Odena, Dumoulin and Olah, 2016). Two remedies: a kernel divisible by the stride,
# or nearest-neighbour enlargement followed by an ordinary convolution. Give each a constant image
# and a random kernel. The output should be constant. How uneven it is stands above it: the standard
# deviation over its pixels, divided by their root mean square.

# %%
ones = mg.ones(1, 1, 8, 8, dtype=mg.float64)
three, four = (mg.tensor(1 + 0.3 * rng.standard_normal((1, 1, k, k))) for k in (3, 4))
larger = mg.nn.functional.interpolate(ones, scale_factor=2, mode="nearest")
enlarged = {
    "transposed, kernel 3": mg.conv_transpose2d(ones, three, stride=2),
    "transposed, kernel 4": mg.conv_transpose2d(ones, four, stride=2),
    "nearest, then kernel 3": mg.conv2d(larger, three, padding=1),
}
uneven = {}
figure, panels = plt.subplots(1, 3, figsize=(9, 3.2))
for axes, (name, image) in zip(panels, enlarged.items()):
    inside = image.numpy()[0, 0, 4:12, 4:12]  # away from the edges
    uneven[name] = inside.std() / np.sqrt((inside**2).mean())
    axes.imshow(inside / inside.mean(), vmin=0, vmax=2)
    axes.set_title(f"{name}: {uneven[name]:.3f}", fontsize=10)
    axes.axis("off")
figure.tight_layout()
plt.show()
stamps = mg.conv_transpose2d(ones, mg.ones_like(three), stride=2).numpy()[0, 0, 4:12, 4:12]
assert set(stamps.ravel()) == {1, 2, 4}
assert uneven["transposed, kernel 3"] > 0.4 > 0.25 > uneven["transposed, kernel 4"] > 0.02
assert uneven["nearest, then kernel 3"] < 1e-12

# %% [markdown]
# Kernel 4 makes the *number* of stamps even; the four kinds of pixels still get different weights,
# and training has to make these agree. Enlarging first treats all pixels alike, for $9$ products an
# output pixel instead of $4^2 / 2^2 = 4$. The gradient of a strided convolution is a transposed one,
# so discriminators with kernel 3 and stride 2 send checkerboards *back* as well.
#
# ## Exercises
#
# 1. Dilation 2 with a $3 \times 3$ kernel is dilation 1 with a larger kernel that has zeros in it.
#    Write the kernel, and check.
# 2. How many parameters has a layer of $3 \times 3$ from 64 to 128 channels? And a *depthwise
#    separable* one: each of the 64 channels by itself (`groups=64`), then $1 \times 1$ to 128?
# 3. Three layers of $3 \times 3$ with dilations 1, 2, 4: how many pixels across does one output
#    see?

# %%
# Answers.
# 1
image, kernel = mg.tensor(rng.standard_normal((1, 2, 9, 9))), rng.standard_normal((3, 2, 3, 3))
stuffed = np.zeros((3, 2, 5, 5))
stuffed[:, :, ::2, ::2] = kernel
assert np.allclose(mg.conv2d(image, kernel, dilation=2).numpy(), mg.conv2d(image, stuffed).numpy())

# 2: 128 (64 9 + 1), and 64 (9 + 1) + 128 (64 + 1).
separable = mg.nn.Sequential(mg.nn.Conv2d(64, 64, 3, groups=64), mg.nn.Conv2d(64, 128, 1))
for layer, count in ((mg.nn.Conv2d(64, 128, 3), 73856), (separable, 8960)):
    assert sum(p.numel() for p in layer.parameters()) == count

# 3: 1 + 2 (1 + 2 + 4) = 15. The gradient of the middle output shows what it sees.
image = mg.zeros(1, 1, 31, 31, requires_grad=True)
y = image
for dilation in (1, 2, 4):
    y = mg.conv2d(y, mg.ones(1, 1, 3, 3), padding=dilation, dilation=dilation)
y[0, 0, 15, 15].backward()
assert np.count_nonzero(image.grad.numpy()[0, 0, 15]) == 15
print("all answers check")
