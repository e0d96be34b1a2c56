"""What pairs of measurements say of a ratio without an assumption about how they are spread: for benches/ab.

The estimate is that of Hodges and Lehmann and the interval is the one that belongs to Wilcoxon's signed-rank test
(Hollander, Wolfe and Chicken, "Nonparametric Statistical Methods", 3.2 and 3.3), both on the logarithms, so that B
beside A is one over A beside B."""

import math
import statistics

LEVEL = 0.95


def ratio(ratios):
    """The estimate, the interval's ends, and how sure the interval is: 0.95 where there are enough ratios for that (6),
    else the highest that so few allow.

    >>> estimate, low, high, level = ratio([2.0] * 8)
    >>> round(estimate, 6), round(low, 6), round(high, 6), level >= 0.95
    (2.0, 2.0, 2.0, True)

    Two opposite ratios say nothing, and four are never 95 % sure: all the same sign happens twice in sixteen.

    >>> estimate, low, high, level = ratio([0.5, 2.0])
    >>> round(estimate, 6), low, high, level
    (1.0, 0.5, 2.0, 0.5)
    >>> ratio([1.1, 1.2, 1.3, 1.4])[3]
    0.875
    """
    logs = sorted(math.log(value) for value in ratios)
    walsh = sorted((one + other) / 2 for place, one in enumerate(logs) for other in logs[place:])
    skip, level = to_skip(len(logs))
    low, high = walsh[skip], walsh[-1 - skip]
    return math.exp(statistics.median(walsh)), math.exp(low), math.exp(high), level


def to_skip(count):
    """How many of the means of pairs lie outside the interval at each end, and how sure it is then. As in the tables:
    of 10 pairs, 8 (the ninth is the end) for 95.1 %; of 6 none, for 96.9 %.

    >>> to_skip(10)
    (8, 0.951171875)
    >>> to_skip(6)
    (0, 0.96875)
    """
    below, skip = 0, 0
    ways = rank_sums(count)
    level = 1 - 2 * ways[0] / 2**count
    for place, number in enumerate(ways):
        below += number
        sure = 1 - 2 * below / 2**count
        if sure < LEVEL:
            break
        skip, level = place, sure
    return skip, level


def rank_sums(count):
    """In how many ways some of the ranks from 1 to `count` have each sum.

    >>> rank_sums(3)
    [1, 1, 1, 2, 1, 1, 1]
    """
    ways = [1]
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for total, number in enumerate(ways):
            longer[total + rank] += number
        ways = longer
    return ways
