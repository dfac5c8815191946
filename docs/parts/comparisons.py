"""The figures of `make bench-forest`, `-server`, `-hosting`, `-isolation` and `-peers`."""

from __future__ import annotations

import statistics
from typing import Any

from parts.bars import Bar, bars
from parts.benchmarks import figures, measured_on, placed, verdict
from parts.tables import rows

PLOTS = "plots"  # beside the pages


def interval(low: float | None, median: float | None, high: float | None) -> str:
    """A median and where it may lie; nothing where no round showed anything."""
    if low is None or median is None or high is None:
        return ""
    return f"{median:.3g}" if low == high else f"{median:.3g} ({low:.3g} to {high:.3g})"


def requirements(record: Any) -> str:
    """What budgets.toml asks of this benchmark."""
    return rows(
        ("Requirement", "Measured", "Required", "Met"),
        [
            (
                each["what"],
                interval(each["low"], each["median"], each["high"]),
                each["required"],
                "not shown" if each["met"] is None else verdict(each["met"]),
            )
            for each in record["verdicts"]
        ],
    )


def forest() -> str:
    """Penstock's forests, LightGBM and ONNX Runtime."""
    record = figures("forest")
    who = list(record["rows"][0]["ns"])
    table = rows(
        ("Model", "Rows", *(f"{name}, us" for name in who), "Penstock, of", ""),
        [
            (
                row["model"],
                str(row["rows"]),
                *(f"{row['ns'][name] / 1e3:,.2f}" for name in who),
                row["against"],
                interval(*row["ratio"]),
            )
            for row in record["rows"]
        ],
    )
    core = "Nothing was pinned." if record["core"] is None else f"All on core {record['core']}."
    about = f"{measured_on(record)} {core} {record['rounds']} rounds in turns."
    return f"{about}\n\n{table}\n\n{requirements(record)}"


def server() -> str:
    """Penstock and the bare loop."""
    record = figures("server")

    def median(values: list[float]) -> str:
        return f"{statistics.median(values):,.1f}"

    table = rows(
        (
            "Model",
            "",
            "8 x 4, requests/s",
            "CPU us",
            "1 x 1 p50, us",
            "Open loop, requests/s",
            "p50, us",
            "p99, us",
        ),
        [
            (
                row["model"],
                {"penstock": "Penstock", "echo": "echo loop"}[row["side"]],
                f"{statistics.median(row['requests_per_second']):,.0f}",
                median(row["cpu_us"]),
                median(row["p50_us"]),
                f"{statistics.median(tail['rate'] for tail in row['tail']):,.0f}",
                median([tail["p50"] for tail in row["tail"]]),
                median([tail["p99"] for tail in row["tail"]]),
            )
            for row in record["rows"]
        ],
    )
    asleep = " and ".join(
        f"{row['model']} {median(row['asleep_p50_us'])} us" for row in record["rows"] if row["asleep_p50_us"]
    )
    about = (
        f"{measured_on(record)} {placed(record)} {record['rounds']} rounds in turns; medians. "
        f"1 x 1 p50 of Penstock with `server.spin_us = 0`, so that it sleeps at once as the loop does: "
        f"{asleep}."
    )
    return f"{about}\n\n{table}\n\n{requirements(record)}"


def hosting() -> str:
    """Many versions, many models."""
    record = figures("hosting")
    held = record["memory"]
    every, one = held["all"], held["one"]
    memory = (
        f"{held['versions']:,} versions of a forest of 100 trees: {every['pss'] / 2**20:,.0f} MiB, "
        f"ready after {every['seconds_to_ready']:.0f} s; one: {one['pss'] / 2**20:,.0f} MiB. Each takes "
        f"{held['each'] / 2**10:,.0f} KiB."
    )
    table = rows(
        ("Models asked", "CPU us a request"),
        [(what, f"{statistics.median(values):.2f}") for what, values in record["cpu_us"].items()],
    )
    about = f"{measured_on(record)} {placed(record)} {record['rounds']} rounds in turns."
    return f"{about}\n\n{memory}\n\n{table}\n\n{requirements(record)}"


def isolation() -> str:
    """A cheap model beside a dear one."""
    record = figures("isolation")
    without, beside, ratio = (
        statistics.median(values)
        for values in (record["without_us"], record["beside_us"], record["ratios"]["p99"])
    )
    return (
        f"{measured_on(record)} {placed(record)} The cheap model is asked {record['rate']:,.0f} times a "
        f"second, at an even rate: p99 {without:,.0f} us without the dear one, {beside:,.0f} us beside it, "
        f"{ratio:.2f} times as much (median of {len(record['ratios']['p99'])} pairs of slices). "
        f"Required: at most {record['required']:g}. Met: {verdict(ratio <= record['required'])}."
    )


def medians(row: Any, runs: str) -> float:
    """Of one side's runs, the figure that the row compares."""
    return float(statistics.median(run[row["scenario"]["figure"]] for run in row[runs]))


def peers() -> str:
    """The table of ratios, and its plots."""
    record = figures("compare")
    table = rows(
        ("Peer", "Model", "Load", "Penstock", "Peer", "Times better", "Penstock p99, us", "Peer p99, us"),
        [
            (
                row["peer"],
                row["model"],
                row["scenario"]["name"],
                f"{medians(row, 'penstock'):,.0f}",
                f"{medians(row, 'other'):,.0f}",
                interval(min(row["ratios"]), statistics.median(row["ratios"]), max(row["ratios"])),
                *(
                    f"{statistics.median(run['p99'] for run in row[runs]):,.0f}"
                    for runs in ("penstock", "other")
                ),
            )
            for row in record["rows"]
        ],
    )
    plots = "\n".join(f"![{title}]({PLOTS}/{name}.svg)" for name, (title, _, _) in CHARTS.items())
    turns = f"{record['rounds']} rounds of Penstock, peer, peer, Penstock; medians."
    about = f"{measured_on(record)} {placed(record)} {turns}"
    return f"{about}\n\n{table}\n\n{plots}\n\n{requirements(record)}"


CHARTS = {
    "peers-throughput": ("Throughput, 8 connections x 4 streams", "requests a second", "throughput"),
    "peers-latency": ("Median latency, one request at a time", "microseconds", "p50"),
}


def plots() -> dict[str, str]:
    """The plots of the page, by file name."""
    record = figures("compare")
    drawn = {}
    for name, (title, unit, figure) in CHARTS.items():
        groups: dict[str, list[Bar]] = {}
        for row in record["rows"]:
            if row["scenario"]["figure"] != figure:
                continue
            ours = [
                each
                for each in record["rows"]
                if each["model"] == row["model"] and each["scenario"] == row["scenario"]
            ]
            group = groups.setdefault(
                row["model"], [Bar("Penstock", statistics.median(medians(each, "penstock") for each in ours))]
            )
            group.append(Bar(row["peer"], medians(row, "other")))
        drawn[f"{PLOTS}/{name}.svg"] = bars(title, unit, list(groups.items()))
    return drawn
