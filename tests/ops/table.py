r"""The op table: one row an op. From a row, ``test_table.py`` derives all tests.

A new op needs a row in the ``table_*.py`` of its family; ``test_completeness.py`` fails without.
"""

from __future__ import annotations

from tests.ops import (
    table_attention,
    table_conv,
    table_cumulative,
    table_decompositions,
    table_elementwise,
    table_indexing,
    table_linalg,
    table_loss,
    table_margin,
    table_norm,
    table_recurrent,
    table_reduction,
    table_resample,
    table_shape,
    table_special,
)

ROWS = [
    *table_elementwise.ROWS,
    *table_special.ROWS,
    *table_reduction.ROWS,
    *table_cumulative.ROWS,
    *table_shape.ROWS,
    *table_indexing.ROWS,
    *table_linalg.ROWS,
    *table_decompositions.ROWS,
    *table_conv.ROWS,
    *table_attention.ROWS,
    *table_norm.ROWS,
    *table_recurrent.ROWS,
    *table_resample.ROWS,
    *table_loss.ROWS,
    *table_margin.ROWS,
]
