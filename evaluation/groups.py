"""Of generated images: is the nearest real image of the caption's group? Chance is one over the number of groups.

Works on any features; mobilenet.py makes them. The caption's own image is left out of the search, so a sample that
merely repeats it does not count for itself: it must look like its kind.
"""

from typing import NamedTuple

import numpy as np


class GroupFigure(NamedTuple):
    """`by_group[g]` is the share of group g's images that found a neighbour in g; `share` is over all images."""

    share: float
    by_group: dict[str, float]
    nearest: np.ndarray  # (generated,) int64, row of the nearest real image


def group_of_nearest(
    generated: np.ndarray,
    *,
    generated_groups: list[str],
    own: np.ndarray,
    real: np.ndarray,
    real_groups: list[str],
) -> GroupFigure:
    """Return the figure by cosine similarity.

    generated: (n, width) features; own: (n,) row of each caption's own image in `real`, -1 where it is not there;
    real: (m, width) features of real images at the same size in px.
    """
    if len(generated) != len(generated_groups) or len(generated) != len(own) or len(real) != len(real_groups):
        raise ValueError(
            f"every image needs a group: {len(generated)} generated, {len(generated_groups)} groups, {len(own)} own "
            f"rows; {len(real)} real, {len(real_groups)} groups"
        )
    nearest = nearest_rows(generated, real=real, leave_out=own)
    hits = np.array([real_groups[row] == group for row, group in zip(nearest, generated_groups, strict=True)])
    wanted = np.array(generated_groups)
    by_group = {group: float(hits[wanted == group].mean()) for group in sorted(set(generated_groups))}
    return GroupFigure(float(hits.mean()), by_group, nearest)


def nearest_rows(generated: np.ndarray, *, real: np.ndarray, leave_out: np.ndarray) -> np.ndarray:
    """Return the row of `real` with the largest cosine similarity, (n,) int64.

    leave_out: (n,) the row of `real` that is not considered for each; -1: none.
    """
    similarity = unit(generated) @ unit(real).T
    rows = np.flatnonzero(leave_out >= 0)
    similarity[rows, leave_out[rows]] = -np.inf
    return similarity.argmax(1)


def unit(features: np.ndarray) -> np.ndarray:
    """Return rows scaled to length 1."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
