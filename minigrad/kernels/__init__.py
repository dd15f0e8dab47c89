r"""Array in, array out: convolution, pooling, scattering, fused optimiser steps, the thread pool.

Belongs here: everything that knows how an operation is computed fast on NumPy and on CuPy, the two
versions side by side. Does not belong here: gradients and the checking of arguments (``ops/``).
"""

from __future__ import annotations

from .parallel import stop_spinning
from .workspace import keep_freed_memory

keep_freed_memory()
stop_spinning()
