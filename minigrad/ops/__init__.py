r"""The primitive ops. Every function here takes tensors *or* raw arrays, and returns the same kind.

A file a family: elementwise, transcendental, special, activation, comparison, reduction,
cumulative, shape, padding, indexing, linalg, decompositions, conv, pool, window, resample,
normalization, loss, margin, attention, recurrent, random.
A new op goes into its family's file: a :class:`~minigrad.autograd.Function` with its rule, and a
function that checks its arguments. ``tests/ops`` then demands a row for it in the table.
"""

from __future__ import annotations

from . import (
    activation,
    attention,
    comparison,
    conv,
    cumulative,
    decompositions,
    elementwise,
    indexing,
    linalg,
    loss,
    margin,
    normalization,
    padding,
    pool,
    random,
    recurrent,
    reduction,
    resample,
    shape,
    special,
    transcendental,
    window,
)
from .activation import *  # noqa: F403
from .attention import *  # noqa: F403
from .comparison import *  # noqa: F403
from .conv import *  # noqa: F403
from .cumulative import *  # noqa: F403
from .decompositions import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .indexing import *  # noqa: F403
from .linalg import *  # noqa: F403
from .loss import *  # noqa: F403
from .margin import *  # noqa: F403
from .normalization import *  # noqa: F403
from .padding import *  # noqa: F403
from .pool import *  # noqa: F403
from .random import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .reduction import *  # noqa: F403
from .resample import *  # noqa: F403
from .shape import *  # noqa: F403
from .special import *  # noqa: F403
from .transcendental import *  # noqa: F403
from .window import *  # noqa: F403

__all__ = [
    *activation.__all__,
    *attention.__all__,
    *comparison.__all__,
    *conv.__all__,
    *cumulative.__all__,
    *decompositions.__all__,
    *elementwise.__all__,
    *indexing.__all__,
    *linalg.__all__,
    *loss.__all__,
    *margin.__all__,
    *normalization.__all__,
    *padding.__all__,
    *pool.__all__,
    *random.__all__,
    *recurrent.__all__,
    *reduction.__all__,
    *resample.__all__,
    *shape.__all__,
    *special.__all__,
    *transcendental.__all__,
    *window.__all__,
]
