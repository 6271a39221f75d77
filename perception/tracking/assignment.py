"""The assignment problem: pairs of rows and columns with the greatest total weight.

Shortest augmenting paths with potentials (Jonker and Volgenant, "A shortest augmenting path algorithm
for dense and sparse linear assignment problems", Computing 38, 1987), in numpy, without a compiled
dependency. Two things make it fast on the problems of tracking: pairs without a competitor are taken
at once, and a first feasible dual with its greedy matching leaves few rows to augment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]


def match(weight: npt.NDArray[Any]) -> tuple[Rows, Rows]:
    """Pair rows with columns so that the sum of weights is greatest; exact.

    Args:
        weight: (R, C) finite; only pairs of weight above 0 may be matched.

    Returns:
        Rows and columns of the pairs, equally long, rows ascending. Reproducible: the same weights
        give the same pairs.

    >>> match(np.array([[3.0, 2.0], [2.5, 0.0]]))
    (array([0, 1]), array([1, 0]))
    """
    allowed = weight > 0
    per_row = allowed.sum(axis=1)
    per_column = allowed.sum(axis=0)
    # A pair without a competitor on either side belongs to every best solution.
    rows, columns = np.nonzero(allowed & (per_row == 1)[:, None] & (per_column == 1)[None, :])
    per_row[rows] = 0
    per_column[columns] = 0
    left = np.flatnonzero(per_row)
    right = np.flatnonzero(per_column)
    if len(left) == 0:
        return rows, columns
    rest = np.maximum(np.asarray(weight[np.ix_(left, right)], np.float64), 0.0)
    flipped = len(left) > len(right)
    of_row = _solve(rest.max() - (rest.T if flipped else rest))
    pairs = (of_row, np.arange(len(of_row))) if flipped else (np.arange(len(of_row)), of_row)
    real = rest[pairs] > 0
    rows = np.concatenate([rows, left[pairs[0][real]]])
    columns = np.concatenate([columns, right[pairs[1][real]]])
    order = np.argsort(rows)
    return rows[order], columns[order]


def _solve(cost: npt.NDArray[np.float64]) -> Rows:
    """The column of every row in the cheapest assignment of all rows; cost (R, C), R <= C, >= 0."""
    n, m = cost.shape
    # Feasible start: every row's potential is its cheapest cost, every column's is 0; rows whose
    # cheapest column is free take it.
    u = cost.min(axis=1)
    v = np.zeros(m)
    cheapest = cost.argmin(axis=1)
    column_of = np.full(n, -1, np.intp)
    row_of = np.full(m, -1, np.intp)
    taken, first = np.unique(cheapest, return_index=True)
    row_of[taken] = first
    column_of[first] = taken
    for start in np.flatnonzero(column_of < 0):
        # Dijkstra over columns: `shortest[j]` is the reduced length of the best path to column j.
        shortest = np.full(m, np.inf)
        parent = np.full(m, -1, np.intp)
        open_ = np.ones(m, bool)
        scanned_rows = [start]
        scanned_columns: list[int] = []
        row = start
        length = 0.0
        while True:
            through = length + cost[row] - u[row] - v
            better = open_ & (through < shortest)
            shortest[better] = through[better]
            parent[better] = row
            sink = int(np.where(open_, shortest, np.inf).argmin())
            length = float(shortest[sink])
            open_[sink] = False
            if row_of[sink] < 0:
                break
            row = row_of[sink]
            scanned_rows.append(row)
            scanned_columns.append(sink)
        u[start] += length
        if scanned_columns:
            gain = length - shortest[scanned_columns]
            u[scanned_rows[1:]] += gain
            v[scanned_columns] -= gain
        while True:
            row = parent[sink]
            row_of[sink] = row
            column_of[row], sink = sink, column_of[row]
            if row == start:
                break
    return column_of
