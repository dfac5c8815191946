"""A machine that stalls now and then, made up: the reload benchmark's trace on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attribution import Attribution, Pair
from open_loop import Trace

MS = 1_000_000
EVERY_NS = 200_000  # 5,000 requests a second
LOAD, CYCLE, PAUSE, LOADS = 8 * MS, 28 * MS, 50 * MS, 5


@dataclass(frozen=True)
class Noise:
    """Stalls of the machine: how many a second, from how long to how long; the rate changes by the second."""

    rate: float
    shortest_ms: float = 0.3
    longest_ms: float = 50


CALM, ROUGH, BUSY = Noise(3), Noise(30, 0.2, 6), Noise(200, 0.5, 3)


def pairs_of(count: int) -> list[Pair]:
    length = LOADS * CYCLE
    step = 2 * (length + PAUSE)
    starts = [MS + step * index for index in range(count)]
    return [
        Pair(
            start,
            start + length + PAUSE,
            length,
            [(start + CYCLE * load, start + CYCLE * load + LOAD) for load in range(LOADS)],
        )
        for start in starts
    ]


def stalled(due: NDArray[np.int64], stalls: list[tuple[float, float]]) -> NDArray[np.int64]:
    """How long each request waits for the end of the stall that it is due in."""
    wait = np.zeros(len(due), np.int64)
    for began, length in stalls:
        first, last = np.searchsorted(due, [began, began + length])
        wait[first:last] = np.maximum(wait[first:last], began + length - due[first:last])
    return wait


def simulated(
    seed: int, noise: Noise, *, pairs: int = 60, stall_ms: float = 0, share: float = 1, every_s: float = 0
) -> Attribution:
    """A run on such a machine; a share of the loads stalls the server for `stall_ms`.

    `every_s`: it stalls so often instead, anywhere in the slices with reloads.
    """
    random = np.random.default_rng(seed)
    laid = pairs_of(pairs)
    end = laid[-1].quiet_began + laid[-1].length + PAUSE
    due = np.arange(0, end, EVERY_NS)
    stalls: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    for second in range(end // 10**9 + 1):
        for _ in range(random.poisson(noise.rate * random.choice([0.2, 1, 1, 3]))):
            length = min(noise.shortest_ms * (1 + random.pareto(1.5)), noise.longest_ms) * MS
            began = (second + random.random()) * 1e9
            stalls[random.integers(2)].append((began, length))
    server, generator = stalls
    for pair in laid if stall_ms else []:
        if every_s:
            count = random.poisson(pair.length / 1e9 / every_s)
            begins = pair.began + random.random(count) * (pair.length - stall_ms * MS)
        else:
            begins = np.array([began for began, _ in pair.loads if random.random() < share])
            begins = begins + random.random(len(begins)) * max(LOAD - stall_ms * MS, 0)
        server += [(float(begin), stall_ms * MS) for begin in begins]
    late = stalled(due, generator) + 20_000
    latency = (
        stalled(due, server) + late + np.int64(80_000) + random.gamma(2, 20_000, len(due)).astype(np.int64)
    )
    return Attribution(Trace(due, late, latency), laid, apart=True)
