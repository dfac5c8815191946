"""Plots of results, as SVG or PNG files. They need matplotlib (the extra `bench`), which is imported when one
is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from penstock.bench.histogram import Histogram
from penstock.bench.result import Result
from penstock.errors import PenstockError

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_SIZE = (7.5, 4.5)  # inches


def require() -> None:
    """PenstockError says what to install where matplotlib is missing."""
    _pyplot()


def percentile_curves(
    curves: Mapping[str, Histogram], path: Path, *, left_out: Mapping[str, int] | None = None
) -> None:
    """The latency of each percentile, with one line for each named histogram. The axis stretches towards 100
    %. `left_out` says of how many failed requests a histogram knows nothing.
    """
    failed = {name: count for name, count in (left_out or {}).items() if count}
    figure, axes = _axes()
    top = max((histogram.count for histogram in curves.values()), default=1)
    for name, histogram in curves.items():
        if not histogram.count:
            continue
        shares, bounds = histogram.curve()
        # The last value stands for all above it: 1/(1 - share) has no place for a share of 1.
        stretched = 1 / np.maximum(1 - shares, 1 / (2 * histogram.count))
        axes.plot(stretched, bounds / 1e6, drawstyle="steps-pre", label=name + _left_out(failed.get(name, 0)))
    ticks = [2, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    ticks = [tick for tick in ticks if tick <= max(2 * top, 100)]
    axes.set_xscale("log")
    axes.set_xticks(
        ticks, ["50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"][: len(ticks)]
    )
    axes.set_xticks([], minor=True)
    axes.set_yscale("log")
    axes.set_xlabel("percentile")
    axes.set_ylabel("latency, ms")
    _finish(figure, axes, path, legend=len(curves) > 1 or bool(failed))


def latency_against_load(
    lines: Mapping[str, Sequence[Result]],
    path: Path,
    *,
    objective_ms: float | None = None,
    percentiles: Sequence[float] = PERCENTILES,
) -> None:
    """Percentiles of the latency over the requests a second that were asked for.

    One series of results is drawn with a line for each percentile; several, by their names, with the last
    percentile of each. Failed requests have no latency: runs with any are marked by a cross.
    """
    figure, axes = _axes()
    drawn = percentiles if len(lines) == 1 else percentiles[-1:]
    crossed: list[tuple[float, float]] = []
    for name, results in lines.items():
        ordered = sorted(results, key=lambda result: result.rate or result.throughput)
        rates = [result.rate or result.throughput for result in ordered]
        for percentile in drawn:
            label = f"p{percentile:g}" if len(lines) == 1 else f"{name}, p{percentile:g}"
            values = [r.percentile_ms(percentile) for r in ordered]
            axes.plot(rates, values, marker="o", ms=3, label=label)
            crossed += [(x, y) for x, y, r in zip(rates, values, ordered, strict=True) if r.failed]
    if crossed:
        label = "requests failed, and are left out"
        axes.plot(*zip(*crossed, strict=True), "x", color="black", ms=7, label=label)
    if objective_ms is not None:
        axes.axhline(objective_ms, color="grey", linestyle="--", linewidth=1, label=f"{objective_ms:g} ms")
    axes.set_yscale("log")
    axes.set_xlabel("requests a second")
    axes.set_ylabel("latency, ms")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    _finish(figure, axes, path, legend=True)


def _left_out(failed: int) -> str:
    return f" ({failed:,} failed, left out)" if failed else ""


def _pyplot() -> ModuleType:
    try:
        import matplotlib
    except ImportError as error:
        raise PenstockError(
            "plots need matplotlib: pip install matplotlib (or penstock[bench], which has it)"
        ) from error
    matplotlib.use("agg")  # files alone: no display is opened
    # The same figures give the same bytes.
    matplotlib.rcParams["svg.hashsalt"] = "penstock"
    import matplotlib.pyplot

    return matplotlib.pyplot


def _axes() -> tuple[Any, Any]:
    return _pyplot().subplots(figsize=_SIZE, layout="constrained")  # type: ignore[no-any-return]


def _finish(figure: Any, axes: Any, path: Path, *, legend: bool) -> None:
    axes.grid(True, which="major", alpha=0.3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)
    except OSError as error:
        raise PenstockError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        _pyplot().close(figure)
