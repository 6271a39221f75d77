"""The assignment problem: pairs of rows and columns with the greatest total weight.

Shortest augmenting paths with potentials (Jonker and Volgenant, "A shortest augmenting path algorithm
for dense and sparse linear assignment problems", Computing 38, 1987), in numpy, without a compiled
dependency. Three things make it fast on the problems of tracking: where every column likes another row best
there is nothing to solve; pairs so good that no exchange can pay, which are nearly all, are taken at once; and
a first feasible dual with its greedy matching leaves few rows to augment.
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
    if weight.size == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    weight = np.maximum(weight, 0)
    each, every = np.arange(weight.shape[0]), np.arange(weight.shape[1])
    likes = weight.argmax(axis=0)
    columns = np.flatnonzero(weight[likes, every])
    rows = likes[columns]
    if len(set(rows.tolist())) == len(rows):
        order = rows.argsort()
        return rows[order], columns[order]
    liked = weight.argmax(axis=1)
    top = weight[each, liked]
    # What a row, or a column, gets without its best.
    rest = weight.copy()
    rest[each, liked] = 0
    otherwise = rest.max(axis=1)
    rest[:] = weight
    rest[likes, every] = 0
    otherwise += rest.max(axis=0)[liked]
    # Whoever breaks such a pair up gives its two at most what they get otherwise, which is no more.
    sure = (top > 0) & (top >= otherwise) & (likes[liked] == each)
    rows = np.flatnonzero(sure)
    columns = liked[rows]
    weight[rows] = 0
    weight[:, columns] = 0
    left = np.flatnonzero(weight.any(axis=1))
    if len(left) == 0:
        return rows, columns
    right = np.flatnonzero(weight.any(axis=0))
    cost = np.asarray(weight[left[:, None], right], np.float64)
    flipped = len(left) > len(right)
    of_row = _solve(cost.max() - (cost.T if flipped else cost))
    pairs = (of_row, np.arange(len(of_row))) if flipped else (np.arange(len(of_row)), of_row)
    real = cost[pairs] > 0
    rows = np.concatenate([rows, left[pairs[0][real]]])
    columns = np.concatenate([columns, right[pairs[1][real]]])
    order = np.argsort(rows)
    return rows[order], columns[order]


def _solve(cost: npt.NDArray[np.float64]) -> Rows:
    """The column of every row in the cheapest assignment of all rows; cost (R, C), R <= C, >= 0."""
    n, m = cost.shape
    # Feasible start: every row's potential is its cheapest cost, every column's is 0; rows whose
    # cheapest column is free take it.
    cheapest: Rows = cost.argmin(axis=1)
    if len(set(cheapest.tolist())) == n:
        return cheapest
    column_of = np.full(n, -1, np.intp)
    row_of = np.full(m, -1, np.intp)
    for first, column in enumerate(cheapest.tolist()):
        if row_of[column] < 0:
            row_of[column], column_of[first] = first, column
    u = cost.min(axis=1)
    v = np.zeros(m)
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
