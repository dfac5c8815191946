"""The figures of benchmarks/results, which `make bench BENCH=--save` writes."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from parts.tables import rows

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def figures(name: str) -> Any:
    """One benchmark's record; exits where there is none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        sys.exit(f"docs: {path.relative_to(RESULTS.parents[1])} is missing: make bench-{name} BENCH=--save")
    return json.loads(path.read_text())


def measured_on(record: Any) -> str:
    """When, at which commit, on what."""
    machine = record["machine"]
    packages = ", ".join(f"{package} {version}" for package, version in record["packages"].items())
    return (
        f"Measured {record['when'][:10]} at `{record['revision']}` on {machine['cores']} cores of "
        f"{machine['cpu']}, Linux {machine['kernel']}, Python {record['python']}: {packages}."
    )


def placed(record: Any) -> str:
    """Which core had what."""
    pinned = record["pinned"]
    if pinned is None:
        return "Nothing was pinned to a core."
    return f"Servers on core {pinned['server']}, the load generator on core {pinned['generator']}."


def verdict(met: bool | None) -> str:
    """In a table."""
    return {True: "yes", False: "**missed**", None: ""}[met]


def throughput() -> str:
    """Penstock against the peer: medians, the ratio with its range, and what was required."""
    record = figures("throughput")
    lines = []
    for row in record["rows"]:
        busy = row["scenario"]["measure"] == "throughput"
        ours, theirs, our_cpu, their_cpu = (
            f"{statistics.median(row[key]):,.0f}" for key in ("penstock", "peer", "penstock_cpu", "peer_cpu")
        )
        ratios = f"{row['ratio']:.3g} ({min(row['ratios']):.3g} to {max(row['ratios']):.3g})"
        required = "" if row["required"] is None else f"{'>=' if busy else '<='} {row['required']:g}"
        lines.append(
            (
                row["model"],
                row["scenario"]["name"],
                *(ours, theirs, ratios, our_cpu, their_cpu, required),
                verdict(row["met"] if required else None),
            )
        )
    header = ("Model", "Load", "Penstock", "grpcio", "Ratio (range)", "CPU us", "CPU us", "Required", "Met")
    about = f"{record['rounds']} rounds of Penstock, peer, peer, Penstock; medians."
    return f"{measured_on(record)} {placed(record)} {about}\n\n{rows(header, lines)}"


def startup() -> str:
    """The time to ready."""
    record = figures("startup")
    seconds = record["seconds"]
    return (
        f"{measured_on(record)}\n\n"
        f"Ready after {statistics.median(seconds):.2f} s (median of {len(seconds)} starts; "
        f"worst {max(seconds):.2f} s). "
        f"Required: {record['required_seconds']:g} s. Met: {verdict(record['met'])}."
    )


def reload() -> str:
    """Latencies without and with reloads, and what was required of them."""
    record = figures("reload")
    lines = []
    for key in ("without_reloads", "with_reloads"):
        phase = record[key]
        count = f"{phase['requests']:,}"
        for label, histogram in (
            (key.replace("_", " "), phase["latency_us"]),
            ("sent late by", phase["late_us"]),
        ):
            times = (f"{histogram[q] / 1e3:.3f}" for q in ("p50", "p90", "p99", "p99.9", "p99.99", "max"))
            lines.append((label, *times, count if histogram is phase["latency_us"] else ""))
    header = ("ms since due", "p50", "p90", "p99", "p99.9", "p99.99", "slowest", "requests")
    latencies = rows(header, lines)
    judged = rows(
        ("Requirement", "Measured", "Required", "Met"),
        [
            (
                check["what"],
                check["measured"],
                check["required"],
                {"MISSED": "**missed**", "not shown": "**not shown**"}.get(
                    check["verdict"], check["verdict"]
                ),
            )
            for check in record["checks"]
        ],
    )
    missing = [check["what"] for check in record["checks"] if check["verdict"] == "not shown"]
    shown = f"\n\n**Not shown on this machine:** {'; '.join(missing)}." if missing else ""
    took = statistics.median(record["reload_ms"])
    return (
        f"{measured_on(record)} {placed(record)} {record['reloads']} reloads, median {took:.1f} ms each, "
        f"under {record['rate']:,.0f} requests a second.\n\n{latencies}\n\n{judged}{shown}"
    )


def share(ratio: float) -> str:
    """As one part of how many."""
    return f"1/{1 / ratio:.1f}"


def transforms() -> str:
    """The pipeline in Penstock, ONNX Runtime and scikit-learn: medians, and the shares that are required."""
    record = figures("transforms")
    sizes = list(record["p50_us"])
    medians = rows(
        ("", *(f"{size} row{'s' * (size != '1')}" for size in sizes)),
        [
            (name, *(f"{record['p50_us'][size][name]:,.2f}" for size in sizes))
            for name in record["p50_us"][sizes[0]]
        ],
    )
    shares = rows(
        ("Rows", "", "Of", "Share (range)", "Required", "Met"),
        [
            (
                str(check["rows"]),
                check["what"],
                check["against"],
                f"{share(check['ratio'])} ({share(max(check['ratios']))} to {share(min(check['ratios']))})",
                "" if check["required"] is None else f"1/{1 / check['required']:.0f}",
                verdict(check["met"]),
            )
            for check in record["checks"]
        ],
    )
    core = "Nothing was pinned." if record["core"] is None else f"All on core {record['core']}."
    return f"{measured_on(record)} {core} {record['rounds']} rounds in turns.\n\n{medians}\n\n{shares}"


def speed() -> str:
    """README's sentence of it."""
    record = figures("throughput")
    busy, single = (
        next(row for row in record["rows"] if row["model"] == "mlp" and row["scenario"]["measure"] == measure)
        for measure in ("throughput", "latency")
    )
    return (
        f"Measured on one core against a grpcio asyncio server with the same ONNX Runtime session: "
        f"**{busy['ratio']:.3g} times the requests a second**\n"
        f"({statistics.median(busy['penstock']):,.0f}; 8 connections x 4 streams) at "
        f"{statistics.median(busy['penstock_cpu']):.0f} us of processor time each instead of "
        f"{statistics.median(busy['peer_cpu']):.0f}, and\n"
        f"{single['ratio']:.2g} of its mean latency one request at a time:\n[benchmarks](docs/benchmarks.md)."
    )
