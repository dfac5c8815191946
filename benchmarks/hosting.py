"""Many models in one server: what a hosted version costs in memory, and what the number of models costs a
request.

memory   A server with one model in many versions, all of which it serves (policy "all"): LightGBM forests of
         100 trees of 31 leaves that differ in their leaves. Its memory (PSS) after each has answered, beyond
         that of the same server with one version, is taken times 1,000 / versions.
routing  Three servers with 1, 100 and 1,000 linear models. Processor time of a request, asked of one model
         and of all in turns, over that of the server with one, by rounds in which all take turns. Requests of
         different models never share a run, so that none may here.

What is required stands in budgets.toml. Exit 1 when it is missed.

    python benchmarks/hosting.py [--versions 1000] [--rounds 12] [--seconds 1.0] [--save | --short]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from sklearn.linear_model import LogisticRegression

import penstock
import results
import verdicts
from forests import Recipe, forest
from penstock import _proto, bench
from process import ServerProcess, penstock_server, pinned, split_cores

GIB = 1 << 30
VERSIONS = 1000  # of the requirement
COUNTS = (1, 100, 1000)  # of models
HOSTED = Recipe("hosted", trees=100, leaves=31, training_rows=20_000)
COLUMNS = 8  # of the linear models
CONNECTIONS, STREAMS = 8, 4
PATIENCE = 600.0  # seconds for a thousand versions to be verified


def request(model: str, features: np.ndarray[Any, Any], version: str = "") -> bytes:
    """A serialized ModelInferRequest of one matrix."""
    message = _proto.ModelInferRequest(model_name=model, model_version=version)
    datatype = {"float32": "FP32", "float64": "FP64"}[features.dtype.name]
    tensor = message.inputs.add(name="features", datatype=datatype)
    tensor.shape.extend(features.shape)
    message.raw_input_contents.append(features.tobytes())
    return bytes(message.SerializeToString())


def build_versions(repository: Path, count: int) -> np.ndarray[Any, Any]:
    """Versions 1 to `count` of the model `hosted`; a row for it, FP32."""
    made = forest(HOSTED, rows=1)
    booster = lightgbm.Booster(model_file=str(made.text))
    leaves = [
        (tree["tree_index"], leaf, booster.get_leaf_output(tree["tree_index"], leaf))
        for tree in booster.dump_model()["tree_info"]
        for leaf in range(tree["num_leaves"])
    ]
    for version in range(1, count + 1):
        for tree, leaf, value in leaves:
            booster.set_leaf_output(tree, leaf, value * (1 + version / count))
        penstock.build(repository, name="hosted", version=str(version), model=booster)
    return made.rows


def memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Of the server with one version, and with all."""
    repository = folder / "versions"
    row = build_versions(repository, options.versions)
    single = folder / "single"
    shutil.copytree(repository / "hosted" / "1", single / "hosted" / "1")
    config = folder / "versions.toml"
    config.write_text('[models.hosted]\npolicy = "all"\n')
    found: dict[str, Any] = {"versions": options.versions}
    for name, place, count in (("one", single, 1), ("all", repository, options.versions)):
        server = penstock_server(place, folder / f"{name}.log", config=config, patience=PATIENCE)
        with server:
            ready = server.proportional_bytes()
            bodies = [request("hosted", row, str(version + 1)) for version in range(count)]
            ask(server, bodies, requests_each=2)
            found[name] = {
                "pss_ready": ready,
                "pss": server.proportional_bytes(),
                "rss": server.resident_bytes(),
                "seconds_to_ready": server.seconds_to_ready,
            }
    each = (found["all"]["pss"] - found["one"]["pss"]) / max(options.versions - 1, 1)
    found["each"] = each
    found["of_1000"] = found["one"]["pss"] + each * (VERSIONS - 1)
    return found


def ask(server: ServerProcess, bodies: Sequence[bytes], *, requests_each: int) -> None:
    """Every one so many times, through grpcio; which refuses whatever is not OK."""
    for _ in range(requests_each):
        for body in bodies:
            server.call("ModelInfer", body)


def build_models(repository: Path, count: int) -> None:
    """Models m0 to m<count - 1>, each with weights of its own."""
    random = np.random.default_rng(5)
    features = random.normal(size=(200, COLUMNS))
    for index in range(count):
        labels = features @ random.normal(size=COLUMNS) > 0
        model = LogisticRegression().fit(features, labels)
        penstock.build(repository, name=f"m{index}", version="1", model=model)


class Host:
    """A server with so many models."""

    def __init__(self, server: ServerProcess, count: int, core: int | None) -> None:
        self.server, self.count, self._cores = server, count, () if core is None else (core,)
        row = np.random.default_rng(6).normal(size=(1, COLUMNS))
        self._bodies = [request(f"m{index}", row) for index in range(count)]

    def cpu_us(self, seconds: float, *, spread: bool) -> float:
        """The server's processor time for a request, asked of one model or of all in turns."""
        load = bench.Load(
            connections=CONNECTIONS, streams=STREAMS, warmup=0, seconds=seconds, cores=self._cores
        )
        before = self.server.cpu_seconds()
        result = bench.measure(self.server.target, self._bodies if spread else self._bodies[:1], load)
        used = self.server.cpu_seconds() - before
        if result.failed or not result.good:
            reasons = ", ".join(f"{failure.count} {failure.text}" for failure in result.failures)
            sys.exit(f"hosting: {self.count} models: failed requests: {reasons or 'all'}")
        return used / result.good * 1e6


def routing(options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Processor time of a request by kind of load, in microseconds, round by round."""
    whole = folder / "models-1000"
    build_models(whole, max(COUNTS))
    serving, generating = options.cores or (None, None)
    loops = {"PENSTOCK_SERVER_LOOPS": "1"} if options.cores else {}
    config = folder / "models.toml"
    config.write_text(
        "".join(f"[models.m{index}.scheduling]\nmerge = false\n" for index in range(max(COUNTS)))
    )
    with ExitStack() as stack:
        hosts = []
        for count in COUNTS:
            repository = folder / f"models-{count}"
            for index in range(count if repository != whole else 0):
                shutil.copytree(whole / f"m{index}", repository / f"m{index}")
            server = penstock_server(
                repository,
                folder / f"{count}.log",
                core=serving,
                environment=loops,
                config=config,
                patience=PATIENCE,
            )
            hosts.append(Host(stack.enter_context(server), count, generating))
        loads = [(host, spread) for host in hosts for spread in (False, True) if host.count > 1 or not spread]
        found: dict[str, list[float]] = {label(host.count, spread): [] for host, spread in loads}
        for host, spread in loads:
            host.cpu_us(options.seconds / 4, spread=spread)
        for number in range(options.rounds):
            for host, spread in loads if number % 2 == 0 else loads[::-1]:
                found[label(host.count, spread)].append(host.cpu_us(options.seconds, spread=spread))
    return found


def label(count: int, spread: bool) -> str:
    return "1 of 1" if count == 1 else f"{count if spread else 1} of {count}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versions", type=int, default=VERSIONS)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long one measurement lasts")
    options = results.parsed(
        parser,
        least={"versions": VERSIONS, "rounds": 12, "seconds": 1.0},
        short={"versions": 200, "rounds": 7, "seconds": 0.3},
        judges="a budget is missed when the whole interval lies beyond it",
    )
    options.cores = split_cores()
    with tempfile.TemporaryDirectory(prefix="penstock-hosting-") as name:
        held = memory(options, Path(name))
        print(
            f"{options.versions} versions: {held['all']['pss'] / 2**20:,.0f} MiB "
            f"({held['all']['rss'] / 2**20:,.0f} resident), ready after "
            f"{held['all']['seconds_to_ready']:.1f} s; one: {held['one']['pss'] / 2**20:,.0f} MiB; "
            f"each {held['each'] / 2**10:,.0f} KiB; 1,000: {held['of_1000'] / 2**20:,.0f} MiB",
            flush=True,
        )
        cpu = routing(options, Path(name))
    for what, values in cpu.items():
        print(f"  {what + ' models':<20}{statistics.median(values):>8.2f} us of processor time a request")
    ratios = {
        f"routing {what}": [value / one for value, one in zip(values, cpu["1 of 1"], strict=True)]
        for what, values in cpu.items()
        if what != "1 of 1"
    }
    ratios["memory"] = [held["of_1000"] / GIB]
    judged = verdicts.judged("hosting", ratios, options)
    record = {
        "pinned": pinned(options.cores),
        "rounds": options.rounds,
        "memory": held,
        "cpu_us": cpu,
        "ratios": ratios,
        "verdicts": [verdict.record() for verdict in judged],
    }
    print(f"\nFigures in {results.keep('hosting', record, options)}")
    verdicts.end("hosting", judged)


if __name__ == "__main__":
    main()
