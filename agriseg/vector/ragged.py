"""Lists of different lengths, kept one after the other in flat arrays; and chains put in order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order

__all__ = ["Ints", "chunks", "components", "follow", "offsets_of", "positions", "spread"]

Ints = NDArray[np.int64]


def offsets_of(lengths: NDArray[np.integer]) -> Ints:
    """Where each list begins, and where the last one ends: (n,) -> (n + 1,)."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def spread(lengths: NDArray[np.integer]) -> tuple[Ints, Ints]:
    """For each element of all lists: which list it belongs to, and its place there, from 0."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(owner)) - np.repeat(offsets_of(lengths)[:-1], lengths)
    return owner, place


def positions(starts: Ints, lengths: NDArray[np.integer], backward: NDArray[np.bool_]) -> Ints:
    """Flat positions of the elements of lists, some of them from their last element to the first.

    Args:
        starts: Position of the first element of each list.
        lengths: Elements of each list.
        backward: Whether a list is taken from its end.
    """
    some = lengths > 0
    starts, lengths, backward = starts[some], lengths[some], backward[some]
    if not len(lengths):
        return np.zeros(0, np.int64)
    sign = np.where(backward, -1, 1)
    first = np.where(backward, starts + lengths - 1, starts)
    last = first + sign * (lengths - 1)
    # One array of steps, summed up in place: these lists are the longest of all.
    steps = np.repeat(sign, lengths)
    steps[offsets_of(lengths)[:-1]] = first - np.concatenate([[0], last[:-1]])
    return np.cumsum(steps, out=steps)


def chunks(offsets: Ints, elements: int) -> list[slice]:
    """Ranges of lists with about `elements` elements each."""
    marks = np.arange(0, int(offsets[-1]), elements)
    at = np.unique(np.append(np.searchsorted(offsets[:-1], marks), len(offsets) - 1)).tolist()
    return [slice(*pair) for pair in pairwise(at)]


def components(count: int, a: NDArray[np.integer], b: NDArray[np.integer]) -> Ints:
    """Number the connected components of a graph of `count` nodes, by their smallest node."""
    links = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    _, first, found = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[found]


def follow(after: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Put chains in order.

    Args:
        after: The element that follows each one, -1 where none does; nothing follows two elements.

    Returns:
        All elements chain by chain; where each chain begins in that list, and its end (n + 1); and
        whether a chain is closed. A closed one begins with its smallest element.
    """
    has_before = np.zeros(len(after), bool)
    has_before[after[after >= 0]] = True
    starts = np.flatnonzero(~has_before)
    order = _preorder(after, starts)
    is_closed = np.zeros(len(starts), bool)
    if len(order) < len(after):
        is_met = np.zeros(len(after), bool)
        is_met[order] = True
        rest = np.flatnonzero(~is_met)
        place = np.cumsum(~is_met) - 1  # closed chains keep to themselves
        parts = components(len(rest), np.arange(len(rest)), place[after[rest]])
        # Components are numbered by their smallest element, so these are in order.
        leaders = rest[np.unique(parts, return_index=True)[1]]
        is_last = np.zeros(len(after), bool)
        is_last[leaders] = True
        opened = np.where((after >= 0) & is_last[after], -1, after)
        order = np.concatenate([order, _preorder(opened, leaders)])
        starts = np.concatenate([starts, leaders])
        is_closed = np.concatenate([is_closed, np.ones(len(leaders), bool)])
    is_start = np.zeros(len(after), bool)
    is_start[starts] = True
    return order, np.append(np.flatnonzero(is_start[order]), len(after)), is_closed


def _preorder(after: Ints, starts: Ints) -> Ints:
    """Walk a forest of chains in the order of `starts`, by one depth-first search in compiled code.

    Chain k hangs on a helper node k, helper k + 1 on helper k: a search from helper 0 then meets
    chain after chain, each in its order.
    """
    count, chains = len(after), len(starts)
    if not chains:
        return np.zeros(0, np.int64)
    helpers = count + np.arange(chains)
    children = np.empty((chains, 2), np.int64)
    children[:, 0], children[:, 1] = starts, helpers + 1
    has_next = after >= 0
    indptr = offsets_of(np.concatenate([has_next, np.full(chains, 2)]).astype(np.int64))
    indptr[-1] -= 1  # the last helper has no helper after it
    indices = np.concatenate([after[has_next], children.ravel()[:-1]])
    size = count + chains
    assert size < 2**31, "more borders than scipy can count"
    graph = csr_array(
        (np.ones(len(indices), np.int8), indices.astype(np.int32), indptr.astype(np.int32)),
        shape=(size, size),
    )
    order = depth_first_order(graph, count, directed=True, return_predecessors=False)
    return order[order < count].astype(np.int64)
