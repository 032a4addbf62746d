"""How far a share may be from the truth when the decisions of one day share their luck.

It knows counts by cluster, and nothing of what was counted.
"""

import math
from collections.abc import Sequence

LEVEL = 0.95


def standard_error(clusters: Sequence[tuple[int, int]]) -> float:
    """The cluster-robust standard error of sum(total) / sum(count) over (total, count) pairs.

    The ratio estimator linearised at its value, with clusters as the sampling units and the factor
    G/(G-1) for G clusters (Cochran 1977, "Sampling Techniques", chapters 6 and 9A; for a mean it is the
    sandwich of Liang and Zeger 1986). Raises ValueError for fewer than two clusters or no
    decisions. It is exactly zero when every cluster shows the same share.
    """
    groups = len(clusters)
    total, count = _sums(clusters)
    if groups < 2 or count <= 0:
        raise ValueError("a standard error needs two clusters and a decision")
    # Whole numbers throughout, so that residuals that should be zero are zero.
    squares = sum((part * count - total * size) ** 2 for part, size in clusters)
    return math.sqrt(squares * groups / (groups - 1)) / count**2


def share_interval(
    clusters: Sequence[tuple[int, int]], *, low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """The 95% interval of sum(total) / sum(count), clipped to `low` and `high`; None below two clusters.

    A total lies between low and high times its count: hits from 0 to 1 each, differences of hits from -1
    to 1. The half-width is the standard error times Student's t with G-1 degrees of freedom. Where every
    cluster shows the same share (all hits, say) nothing can be estimated from their spread; then the
    interval is that of Clopper and Pearson 1934 with each cluster counted as one decision.
    """
    groups = len(clusters)
    if groups < 2:
        return None
    from scipy.special import stdtrit

    total, count = _sums(clusters)
    error = standard_error(clusters)
    if error == 0.0:
        share = (total / count - low) / (high - low)
        exact = _exact(share * groups, groups)
        return low + (high - low) * exact[0], low + (high - low) * exact[1]
    reach = float(stdtrit(groups - 1, (1.0 + LEVEL) / 2.0)) * error
    return max(low, total / count - reach), min(high, total / count + reach)


def _sums(clusters: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(part for part, _ in clusters), sum(size for _, size in clusters)


def _exact(hits: float, tries: int) -> tuple[float, float]:
    from scipy.special import betaincinv

    tail = (1.0 - LEVEL) / 2.0
    misses = tries - hits
    lower = float(betaincinv(hits, misses + 1.0, tail)) if hits > 0 else 0.0
    upper = float(betaincinv(hits + 1.0, misses, 1.0 - tail)) if misses > 0 else 1.0
    return lower, upper
