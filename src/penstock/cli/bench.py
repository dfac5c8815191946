"""`penstock bench`: put a server under load, and say what it does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli import options
from penstock.cli.output import print_json, progress, step
from penstock.cli.predict import Format
from penstock.errors import ConfigError, PenstockError

if TYPE_CHECKING:
    from penstock.bench import Load
    from penstock.bench.runs import Runs
    from penstock.bench.search import Found

INTERRUPTED = 130
_OPTION_OF = {"kind": "format", "svg": "svg/--png"}  # of parameters with another name


class Schedule(StrEnum):
    """When the requests of an open loop are due."""

    POISSON = "poisson"
    EVEN = "even"


def bench(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL[:VERSION]", help="A model, or one version of it by its name or an alias."
        ),
    ],
    server: options.Server = options.DEFAULT_SERVER,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", metavar="R", help="Open loop: R requests a second, whatever the answers take."
        ),
    ] = None,
    connections: Annotated[
        int, typer.Option("--connections", "-c", metavar="N", min=1, help="Connections, over all threads.")
    ] = 8,
    streams: Annotated[
        int,
        typer.Option(
            "--streams", "-m", metavar="N", min=1, help="Closed loop: requests under way on each connection."
        ),
    ] = 4,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0.01, help="Of each run, without its warm-up.")
    ] = 5.0,
    warmup: Annotated[
        float, typer.Option("--warmup", metavar="S", min=0.0, help="Load that does not count, at first.")
    ] = 1.0,
    rates: Annotated[
        str | None,
        typer.Option("--rates", metavar="R,R,...", help="A sweep: one run at each of these rates."),
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Look for the highest rate that keeps --p99.")
    ] = False,
    p99: Annotated[
        float | None,
        typer.Option(
            "--p99", metavar="MS", min=0.001, help="The objective: 99 % of the requests within so long."
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="C", min=0.5, max=0.999, help="Of --find-rate.")
    ] = 0.95,
    precision: Annotated[
        float,
        typer.Option("--precision", metavar="P", min=0.005, max=0.5, help="Of --find-rate, as a share."),
    ] = 0.05,
    request: Annotated[
        list[Path] | None,
        typer.Option(
            "--request",
            metavar="FILE",
            help="A request to send: ModelInferRequest in bytes, or JSON. May be given again.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help="Rows to send: CSV, JSON, Parquet; - for stdin."),
    ] = None,
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="The format of --data, where its name does not say it."),
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", metavar="N", min=1, help="Rows of a request; 1 by default.")
    ] = None,
    bodies: Annotated[
        int | None,
        typer.Option(
            "--bodies", metavar="N", min=1, help="Different requests, sent in turns; 64 by default."
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", metavar="NAME=VALUE", help="A request's parameter (number, true, false or text)."
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="gRPC metadata to send.")
    ] = None,
    check_answers: Annotated[
        bool,
        typer.Option(
            "--check-answers", help="Each answer must be, byte by byte, what its request got at first."
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.000001,
            help="Each request's deadline, sent as grpc-timeout; it is cancelled then, and failed.",
        ),
    ] = None,
    schedule: Annotated[
        Schedule, typer.Option("--schedule", help="Of an open loop: independent callers, or even gaps.")
    ] = Schedule.POISSON,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of the schedule and of values made up.")
    ] = 0,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", min=1, help="Threads of the generator.")
    ] = 1,
    cores: Annotated[
        str | None, typer.Option("--cores", metavar="N,N,...", help="Cores that its threads run on.")
    ] = None,
    max_lag: Annotated[
        float | None,
        typer.Option(
            "--max-lag",
            metavar="MS",
            min=0.001,
            help="How late the generator may be itself at its p99; a run with more is void.",
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Write JSON with all histograms here.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", metavar="DIR", help="Draw plots into this folder.")
    ] = None,
    svg: Annotated[bool, typer.Option("--svg/--png", help="The plots' format.")] = True,
    json: options.Json = False,
) -> None:
    """Put a server of the Open Inference Protocol under load, and measure it.

    Without --rate in a closed loop: connections x streams requests are under way all the time. What is sent
    is made up from the model's metadata, unless --request or --data gives it. A run in which the generator
    itself was late, or in a closed loop the limit, is void: it is repeated a few times, then given up with
    exit code 1.
    """
    model, version = options.split_target(model, "MODEL or MODEL:VERSION")
    _check_use(context)
    sweep = None if rates is None else _numbers(rates, float, "--rates")
    from penstock.bench import plots as drawing
    from penstock.bench.bodies import Asked
    from penstock.bench.lag import LagRule
    from penstock.bench.load import Interrupted, Load
    from penstock.bench.runs import Runs
    from penstock.cli.load_report import LoadReport
    from penstock.cli.load_requests import Source, prepared

    if plots is not None:
        drawing.require()
    asked = Asked(model, version, dict(_pair(each, "--parameter", _value) for each in parameter or ()))
    try:
        load = Load(
            rate=rate,
            schedule=schedule.value,
            seed=seed,
            connections=connections,
            streams=streams,
            threads=threads,
            cores=() if cores is None else _numbers(cores, int, "--cores"),
            warmup=warmup,
            seconds=seconds,
            deadline=timeout,
            metadata=[_pair(each, "--metadata", str) for each in metadata or ()],
        )
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    source = Source(request or [], data, kind, rows or 1, bodies or 64, seed)
    sent, about = prepared(server, asked, load, source, check_answers)
    objective_ns = None if p99 is None else p99 * 1e6
    rule = LagRule(None if max_lag is None else max_lag * 1e6, objective_ns)
    runs = Runs(server, sent, load, rule, _say)
    open_loop = find_rate or sweep is not None or rate is not None
    report = LoadReport(about, load, open_loop, runs, rule, p99)
    failure: PenstockError | None = None
    try:
        if find_rate:
            assert objective_ns is not None
            report.found = _search(runs, objective_ns, confidence, precision, rate)
        else:
            _measure(runs, model, load, sweep)
            if sweep is None:
                report.judge()
    except Interrupted as stop:
        runs.results.append(stop.result)
        report.interrupted = True
    except KeyboardInterrupt:  # between two runs
        report.interrupted = True
    except PenstockError as error:  # what was measured is told all the same
        failure = error
        report.error = str(error)
    if save is not None:
        report.save(save)
    if plots is not None:
        report.draw(plots, "svg" if svg else "png")
    if json:
        print_json(report.to_json())
    else:
        report.print()
    if failure is not None:
        raise failure
    if report.interrupted:
        typer.echo("penstock: interrupted; the figures are of what was measured until then", err=True)
        raise typer.Exit(INTERRUPTED)


def _check_use(context: typer.Context) -> None:
    """Options that would be passed over, or contradict each other, are wrong use."""
    given = context.params
    sources = {name: context.get_parameter_source(name) for name in given}
    explicit = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}

    def wrong(name: str, why: str) -> typer.BadParameter:
        return typer.BadParameter(why, param_hint=f"--{_OPTION_OF.get(name, name).replace('_', '-')}")

    def without(names: tuple[str, ...], why: str) -> None:
        for name in names:
            if name in explicit:
                raise wrong(name, why)

    if given["rate"] is not None and given["rate"] <= 0:
        raise wrong("rate", "a number above 0 is expected")
    if given["find_rate"] and given["p99"] is None:
        raise wrong("find_rate", "it needs the objective that the rate is to keep: --p99 MS")
    if given["rates"] is not None and (given["find_rate"] or given["rate"] is not None):
        raise wrong("rates", "a sweep goes with neither --rate nor --find-rate")
    if given["request"] and given["data"] is not None:
        raise wrong("request", "give either whole requests or --data")
    if given["request"]:
        without(("rows", "bodies"), "the requests of --request are sent as they are")
    if given["data"] is None:
        without(("kind",), "it says how to read --data, which is not given")
    if not given["find_rate"]:
        without(("confidence", "precision"), "it is of --find-rate, which is not given")
    if given["plots"] is None:
        without(("svg",), "it is of --plots, which is not given")
    if given["rate"] is not None or given["rates"] is not None:
        without(("streams",), "it is of a closed loop; with a rate, requests are sent when they are due")
    elif not given["find_rate"]:
        without(("schedule",), "it is of an open loop: --rate, --rates or --find-rate")
        if given["request"] or given["data"] is not None:
            without(("seed",), "nothing is drawn: a closed loop has no schedule, and the requests are given")


def _measure(runs: Runs, model: str, load: Load, sweep: Sequence[float] | None) -> None:
    if sweep is None:
        total = None if load.rate is None else int(load.rate * (load.warmup + load.seconds))
        with _counted(f"measuring {model}", total) as advance:
            runs.once(advance)
        return
    for number, rate in enumerate(sweep, 1):
        total = int(rate * (load.warmup + load.seconds))
        with _counted(f"{rate:,.0f} requests/s, {number} of {len(sweep)}", total) as advance:
            runs.at(rate, advance)


@contextmanager
def _counted(what: str, total: int | None) -> Iterator[Callable[[int, int], None]]:
    with progress(what, total, "requests", results_on_stdout=False) as advance:
        yield lambda sent, answered: advance(answered)


def _search(
    runs: Runs, objective_ns: float, confidence: float, precision: float, start: float | None
) -> Found:
    from penstock.bench.search import Objective, Search, Trial

    with step("looking for the highest rate") as tell:

        def told(trial: Trial) -> None:
            verdict = "kept" if trial.kept else "missed"
            tell(
                f"run {len(search.trials)}: {trial.rate:,.0f} requests/s, "
                f"p99 {trial.result.percentile_ms(99):.3f} ms: {verdict}"
            )

        search = Search(
            lambda rate, _: runs.at(rate),
            Objective(objective_ns),
            confidence=confidence,
            precision=precision,
            told=told,
        )
        return search.highest_rate(start or runs.capacity() / 2)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _pair(text: str, option: str, value: Callable[[str], Any]) -> tuple[str, Any]:
    name, equals, given = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"'{text}' is not NAME=VALUE", param_hint=option)
    return name, value(given)


def _value(text: str) -> bool | int | float | str:
    if text in ("true", "false"):
        return text == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def _numbers(text: str, convert: Callable[[str], Any], option: str) -> list[Any]:
    try:
        numbers = [convert(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"'{text}' is no list of numbers with commas", param_hint=option) from None
    if option == "--rates" and any(not 0 < number <= 1e9 for number in numbers):
        raise typer.BadParameter("rates are above 0", param_hint=option)
    return numbers
