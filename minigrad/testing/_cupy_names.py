r"""The names that the strict module offers: each exists in CuPy 14.2 with the meaning it has here.

Belongs here: lists of names, nothing else. Add a name only after finding it in CuPy; of the names
that NumPy has, CuPy lacks among others errstate, vecdot, matvec, vecmat, insert, block, geomspace,
unstack, einsum_path, nditer, ndenumerate.
"""

from __future__ import annotations

UFUNCS = (
    "abs", "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2",
    "arctanh", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_count", "cbrt", "ceil",
    "conj", "conjugate", "copysign", "cos", "cosh", "deg2rad", "divide", "divmod", "equal", "exp",
    "exp2", "expm1", "fabs", "float_power", "floor", "floor_divide", "fmax", "fmin", "fmod",
    "frexp", "greater", "greater_equal", "heaviside", "hypot", "invert", "isfinite", "isinf",
    "isnan", "ldexp", "left_shift", "less", "less_equal", "log", "log10", "log1p", "log2",
    "logaddexp", "logaddexp2", "logical_and", "logical_not", "logical_or", "logical_xor",
    "maximum", "minimum", "mod", "modf", "multiply", "negative", "nextafter", "not_equal",
    "positive", "pow", "power", "rad2deg", "reciprocal", "remainder", "right_shift", "rint",
    "sign", "signbit", "sin", "sinh", "sqrt", "square", "subtract", "tan", "tanh", "true_divide",
    "trunc",
)  # fmt: skip

# Functions of at least one array.
FUNCTIONS = (
    "all", "allclose", "amax", "amin", "any", "append", "apply_along_axis", "argmax", "argmin",
    "argpartition", "argsort", "argwhere", "around", "array_equal", "array_split", "astype",
    "atleast_1d", "atleast_2d", "atleast_3d", "average", "bincount", "broadcast_arrays",
    "broadcast_to", "choose", "clip", "column_stack", "compress", "concat", "concatenate",
    "convolve", "copy", "copyto", "correlate", "count_nonzero", "cov", "cross", "cumprod",
    "cumsum", "delete", "diag", "diagflat", "diagonal", "diff", "digitize",
    "dot", "dstack", "einsum", "empty_like", "expand_dims", "extract", "fill_diagonal", "fix",
    "flatnonzero", "flip", "fliplr", "flipud", "full_like", "gradient", "histogram", "hstack",
    "imag", "inner", "interp", "isclose", "isin", "kron", "lexsort", "matmul",
    "matrix_transpose", "max", "mean", "median", "meshgrid", "min", "moveaxis", "nan_to_num",
    "nanmax", "nanmean", "nanmin", "nanstd", "nansum", "nanvar", "nonzero", "ones_like", "outer",
    "pad", "partition", "percentile", "permute_dims", "polyval", "prod", "ptp", "put",
    "put_along_axis", "quantile", "ravel", "ravel_multi_index", "real", "repeat", "reshape",
    "roll", "rollaxis", "rot90", "round", "searchsorted", "select", "sinc", "sort", "split",
    "squeeze", "stack", "std", "sum", "swapaxes", "take", "take_along_axis", "tensordot", "tile",
    "trace", "transpose", "trapezoid", "tril", "triu", "unique", "unravel_index", "var", "vdot",
    "vsplit", "hsplit", "dsplit", "vstack", "where", "zeros_like",
)  # fmt: skip

# Functions that make an array from numbers.
CREATION = (
    "arange", "blackman", "empty", "eye", "full", "hamming", "hanning", "identity", "indices",
    "linspace", "logspace", "ones", "tri", "tril_indices", "triu_indices", "zeros",
)  # fmt: skip

# Explicit copies from the host.
FROM_HOST = ("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray")

# Questions about shapes and dtypes, answered on the host.
METADATA = (
    "broadcast_shapes", "can_cast", "iscomplexobj", "isdtype", "isfortran", "isrealobj",
    "isscalar", "issubdtype", "may_share_memory", "min_scalar_type", "ndim", "promote_types",
    "result_type", "shape", "shares_memory", "size",
)  # fmt: skip

CONSTANTS = (
    "bool_", "complex64", "complex128", "complexfloating", "dtype", "e", "euler_gamma",
    "exceptions", "finfo", "float16", "float32", "float64", "floating", "generic", "iinfo",
    "index_exp", "inexact", "inf", "int8", "int16", "int32", "int64", "integer", "intp", "nan",
    "ndindex", "newaxis", "number", "pi", "s_", "signedinteger", "uint8", "uint16", "uint32",
    "uint64", "unsignedinteger", "bool",
)  # fmt: skip

LINALG = (
    "cholesky", "cond", "cross", "det", "eigh", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_power", "matrix_rank", "matrix_transpose", "norm", "pinv", "qr", "slogdet", "solve",
    "svd", "tensorinv", "tensorsolve",
)  # fmt: skip

FFT = (
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "ifft", "ifft2", "ifftn", "ifftshift", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
)  # fmt: skip

RANDOM = (
    "normal", "permutation", "rand", "randint", "randn", "random", "random_sample", "seed",
    "standard_normal", "uniform",
)  # fmt: skip

GENERATOR_METHODS = (
    "beta", "binomial", "chisquare", "dirichlet", "exponential", "f", "gamma", "geometric",
    "hypergeometric", "integers", "logseries", "poisson", "power", "random",
    "standard_exponential", "standard_gamma", "standard_normal", "uniform",
)  # fmt: skip

# Methods that neither wait nor change the array.
ARRAY_METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip",
    "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "flatten", "max", "mean",
    "min", "prod", "ravel", "repeat", "reshape", "round", "searchsorted", "squeeze", "std", "sum",
    "swapaxes", "take", "trace", "transpose", "var", "view",
)  # fmt: skip

BINARY_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "divmod": "divmod", "pow": "power",
    "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift", "eq": "equal", "ne": "not_equal",
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
UNARY_OPERATORS = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}

# Keyword arguments that NumPy has and CuPy has only in the functions named here.
KEYWORDS_OF_NUMPY_ONLY = {
    "where", "initial", "like", "subok", "mean", "correction", "device", "min", "max", "stable",
    "signature", "extobj", "mode", "unique", "writeable", "optimize",
}  # fmt: skip
KEYWORDS = {
    "copyto": {"where"},
    "pad": {"mode"},
    "take": {"mode"},
    "put": {"mode"},
    "choose": {"mode"},
    "convolve": {"mode"},
    "correlate": {"mode"},
    "qr": {"mode"},
    "einsum": {"optimize"},
    "array": {"subok"},
}

# Functions whose result has a size or a check that only the device knows.
SYNCHRONISING = {
    "argwhere", "bincount", "cholesky", "compress", "cond", "delete", "eigh", "eigvalsh",
    "extract", "flatnonzero", "histogram", "inv", "lstsq", "matrix_rank", "nonzero", "pinv",
    "select", "solve", "tensorinv", "tensorsolve", "unique",
}  # fmt: skip

# Functions whose integer indices wrap around in CuPy: their positional parameters.
WRAPPING_INDEX = {
    "take": ("a", "indices", "axis", "out"),
    "take_along_axis": ("a", "indices", "axis"),
    "put_along_axis": ("a", "indices", "values", "axis"),
}

# The dtypes that CuPy's atomic scatter operations know.
ATOMIC_DTYPES = {
    "int32", "float16", "float32", "float64", "complex64", "complex128", "uint32", "uint64",
}  # fmt: skip
