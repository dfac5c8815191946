"""Brent's search for the minimum of a function of one number."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

_GOLDEN = (3.0 - math.sqrt(5.0)) / 2.0
_PRECISION = math.sqrt(sys.float_info.epsilon)
_MOST_STEPS = 500


def minimize(function: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """Where `function` is least between `low` and `high`, to `tolerance`: one of its minima if it has more.

    Each step goes to the lowest point of the parabola through the three best points so far, or cuts the
    interval by the golden section where that leads nowhere. `function` may give infinity. Source: R. P.
    Brent, "Algorithms for Minimization without Derivatives", 1973, chapter 5, procedure localmin.
    """
    best = second = third = low + _GOLDEN * (high - low)
    at_best = at_second = at_third = function(best)
    step = before = 0.0
    for _ in range(_MOST_STEPS):
        middle = (low + high) / 2
        near = _PRECISION * abs(best) + tolerance / 3
        if abs(best - middle) <= 2 * near - (high - low) / 2:
            break
        fitted = False
        if abs(before) > near:
            left = (best - second) * (at_best - at_third)
            right = (best - third) * (at_best - at_second)
            above = (best - third) * right - (best - second) * left
            below = 2 * (right - left)
            above = -above if below > 0 else above
            below = abs(below)
            before, last = step, before
            if abs(above) < abs(below * last / 2) and below * (low - best) < above < below * (high - best):
                step = above / below
                fitted = True
                if best + step - low < 2 * near or high - best - step < 2 * near:
                    step = math.copysign(near, middle - best)
        if not fitted:
            before = (low if best >= middle else high) - best
            step = _GOLDEN * before
        tried = best + (step if abs(step) >= near else math.copysign(near, step))
        at_tried = function(tried)
        if at_tried <= at_best:
            low, high = (best, high) if tried >= best else (low, best)
            third, at_third, second, at_second = second, at_second, best, at_best
            best, at_best = tried, at_tried
            continue
        low, high = (tried, high) if tried < best else (low, tried)
        if at_tried <= at_second or second == best:
            third, at_third, second, at_second = second, at_second, tried, at_tried
        elif at_tried <= at_third or third in (best, second):
            third, at_third = tried, at_tried
    return best
