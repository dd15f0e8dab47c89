r"""Which cluster is which class: the assignment of rows to columns with the least cost.

Belongs here: the assignment problem, and accuracies of unsupervised classes that need it. Does not
belong here: measures with known classes (``codes.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._host import host, labels_of, matrix

__all__ = ["cluster_accuracy", "linear_assignment"]


def linear_assignment(cost: Any) -> tuple[np.ndarray, np.ndarray]:
    r"""The assignment problem: to each row a column of its own, so that the costs add up to the
    least possible.

    .. math:: \min_\pi \sum_i C_{i \pi(i)}

    By shortest augmenting paths (the Hungarian method; Jonker and Volgenant, 1987), in
    :math:`O(n^2 m)` for :math:`n \le m`. Row by row, the row's cheapest way to a free column is
    found through columns that change owners on the way; potentials :math:`u, v` keep all reduced
    costs :math:`C_{ij} - u_i - v_j` at 0 or more, and at 0 where a row owns a column.

    Args:
        cost: (n, m). If there are more rows than columns, n - m rows stay without one.

    Returns:
        rows and columns, both (min(n, m),), the rows in order: ``cost[rows, columns].sum()`` is
        the least cost.

    >>> linear_assignment([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])
    (array([0, 1, 2]), array([1, 0, 2]))
    """
    if host(cost).ndim != 2:
        raise ValueError(f"linear_assignment: expected a matrix (n, m), got {host(cost).shape}")
    c = matrix(cost, "linear_assignment: cost")
    if len(c) > c.shape[1]:
        columns, rows = linear_assignment(c.T)
        order = rows.argsort()
        return rows[order], columns[order]
    n, m = c.shape
    u, v = np.zeros(n), np.zeros(m)
    owner = np.full(m, -1)  # the row that has a column
    for start in range(n):
        # Dijkstra over the columns: the shortest way from row `start` to each of them.
        distance, before = np.full(m, np.inf), np.full(m, -1)
        done = np.zeros(m, bool)
        row, column, length = start, -1, 0.0
        while row >= 0:
            through = length + c[row] - u[row] - v
            shorter = ~done & (through < distance)
            distance[shorter], before[shorter] = through[shorter], column
            column = int(np.where(done, np.inf, distance).argmin())
            length = distance[column]
            done[column] = True
            row = owner[column]
        done[column] = False  # the free column that was reached
        u[start] += length
        u[owner[done]] += length - distance[done]
        v[done] -= length - distance[done]
        while column >= 0:  # along the way back, each column goes to the row that led to it
            previous = before[column]
            owner[column] = owner[previous] if previous >= 0 else start
            column = previous
    columns = np.flatnonzero(owner >= 0)
    order = owner[columns].argsort()
    return owner[columns][order], columns[order]


def cluster_accuracy(labels: Any, clusters: Any) -> float:
    r"""The share of points whose cluster is the one of their class, when each cluster stands for
    one class at most and each class for one cluster at most, in the best way.

    Chance is not 0, and a single cluster reaches the share of the largest class.

    Args:
        labels: (N,) integers from 0, the classes.
        clusters: (N,) integers from 0; if there are more of them than classes, some stand for none.

    >>> cluster_accuracy([0, 0, 1, 1, 2], [2, 2, 0, 0, 0])
    0.8
    """
    y = labels_of(labels, None, "cluster_accuracy: labels")
    k = labels_of(clusters, len(y), "cluster_accuracy: clusters")
    counts = np.zeros((k.max() + 1, y.max() + 1))
    np.add.at(counts, (k, y), 1)
    return float(counts[linear_assignment(-counts)].sum() / len(y))
