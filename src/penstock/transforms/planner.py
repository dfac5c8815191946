"""Makes plans: leaves out what nothing needs, joins maps to chains, gives every column its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from penstock.errors import TransformError
from penstock.transforms.base import NUMERIC
from penstock.transforms.plan import Call, Output, Plan, Slot, chain_state, check_matrix
from penstock.transforms.steps import Alias, Item, Map, Op, Step


def make_plan(inputs: Sequence[tuple[str, str]], items: Iterable[Item], outputs: Sequence[Output]) -> Plan:
    """The plan of what computes the outputs. A name means what was last written to it.

    `inputs` are names and datatypes. KeyError for a column that nothing made. An output that is text must be
    a column that a step writes.
    """
    planner = _Planner(inputs)
    for item in items:
        planner.take(item)
    return planner.plan(outputs)


@dataclass(frozen=True, eq=False)
class _Source:
    """What is written once: an input, or a block of a step."""

    names: tuple[str, ...]
    datatype: str
    input: str | None = None


@dataclass(frozen=True)
class _Value:
    """A column: one of a source's, through operations that are yet to be done."""

    source: _Source
    element: int
    ops: tuple[Op, ...] = field(default=(), compare=False)
    key: tuple[int, ...] = ()  # the identities of `ops`


@dataclass(frozen=True, eq=False)
class _Node:
    step: Step
    reads: tuple[_Value, ...]
    writes: tuple[_Source, ...]


class _Planner:
    def __init__(self, inputs: Sequence[tuple[str, str]]) -> None:
        self._inputs = {name: _Source((name,), datatype, name) for name, datatype in inputs}
        self._current = {name: _Value(source, 0) for name, source in self._inputs.items()}
        self._nodes: list[_Node] = []
        self._maps: list[tuple[str, _Value]] = []
        self._narrow: list[str] = []  # columns that steps leave out

    def take(self, item: Item) -> None:
        if isinstance(item, Alias):
            self._current[item.target] = self._current[item.source]
        elif isinstance(item, Map):
            before = self._current[item.source]
            made = self._current[item.target] = _mapped(before, item.ops)
            if made is not before:
                self._maps.append((item.target, made))
        else:
            given = [self._current[name] for name in item.inputs]
            reads = tuple(_mapped(value, ()) for value in given) if item.doubles else tuple(given)
            writes = tuple(_Source(block.names, block.datatype) for block in item.outputs)
            self._nodes.append(_Node(item, reads, writes))
            for source in writes:
                self._current |= {name: _Value(source, at) for at, name in enumerate(source.names)}

    def plan(self, outputs: Sequence[Output]) -> Plan:
        made = [[self._current[name] for name in output.columns] for output in outputs]
        made = self._narrowed(made)
        live = self._live(value for values in made for value in values)
        nodes = [node for node in self._nodes if _is_needed(node, live)]
        used = [source for source in self._inputs.values() if source in live]
        writer = _Writer(used, nodes, outputs, made)
        reached = [
            *(value for node in nodes for value in node.reads),
            *(v for values in made for v in values),
        ]
        passed = {point for value in reached for point in _points(value)}
        dropped = [
            *(name for name, source in self._inputs.items() if source not in live),
            *(node.step.name for node in self._nodes if not _is_needed(node, live)),
            *(name for name, value in self._maps if _points(value)[-1] not in passed),
            *self._narrow,
        ]
        return Plan(
            tuple((source.names[0], source.datatype) for source in used),
            tuple(writer.slots),
            tuple(writer.calls),
            tuple(outputs),
            tuple(dict.fromkeys(dropped)),
        )

    def _narrowed(self, made: list[list[_Value]]) -> list[list[_Value]]:
        """Has steps leave out columns that nothing needs; gives the values as they are then."""
        live = self._live(value for values in made for value in values)
        needed: dict[_Source, set[int]] = {}
        reads = (value for node in self._nodes if _is_needed(node, live) for value in node.reads)
        for value in (*reads, *(value for values in made for value in values)):
            needed.setdefault(value.source, set()).add(value.element)
        moved: dict[tuple[_Source, int], tuple[_Source, int]] = {}

        def now(value: _Value) -> _Value:
            source, element = moved.get((value.source, value.element), (value.source, value.element))
            return replace(value, source=source, element=element)

        for index, node in enumerate(self._nodes):
            step = node.step
            keep = [sorted(needed.get(source, ())) for source in node.writes]
            blocks = list(zip(node.writes, keep, strict=True))
            whole = all(len(kept) == len(source.names) for source, kept in blocks)
            if step.narrow is None or whole or not _is_needed(node, live):
                self._nodes[index] = replace(node, reads=tuple(map(now, node.reads)))
                continue
            narrow = step.narrow(keep)
            given = dict(zip(step.inputs, node.reads, strict=True))
            writes = tuple(_Source(block.names, block.datatype) for block in narrow.outputs)
            written = [(source, kept) for source, kept in blocks if kept]
            for (old, kept), new in zip(written, writes, strict=True):
                moved |= {(old, element): (new, at) for at, element in enumerate(kept)}
            for source, kept in blocks:
                self._narrow += [name for at, name in enumerate(source.names) if at not in kept]
            self._nodes[index] = _Node(narrow, tuple(now(given[name]) for name in narrow.inputs), writes)
        return [[now(value) for value in values] for values in made]

    def _live(self, wanted: Iterable[_Value]) -> set[_Source]:
        live = {value.source for value in wanted}
        for node in reversed(self._nodes):
            if _is_needed(node, live):
                live |= {value.source for value in node.reads}
        return live


def _is_needed(node: _Node, live: set[_Source]) -> bool:
    return node.step.refuses or any(source in live for source in node.writes)


def _mapped(value: _Value, ops: tuple[Op, ...]) -> _Value:
    """The column as a double, through operations."""
    if not ops and (value.key or value.source.datatype == "FP64"):
        return value
    key = (*value.key, *map(id, ops))
    # Even without operations a map's result is a number of its own, not the column's datatype.
    return _Value(value.source, value.element, value.ops + ops, key or (0,))


def _points(value: _Value) -> list[tuple[_Source, int, tuple[int, ...]]]:
    """The column after each of a value's operations."""
    key = value.key or (0,)
    return [(value.source, value.element, key[: end + 1]) for end in range(len(key))]


def _is_block(values: Sequence[_Value], source: _Source) -> bool:
    """Whether these are all columns of a source, in order and as they are."""
    return len(values) == len(source.names) and all(
        value.source is source and value.element == at and not value.key for at, value in enumerate(values)
    )


class _Writer:
    """Gives every source and every chain a slot, and puts the calls in order."""

    def __init__(
        self,
        inputs: Sequence[_Source],
        nodes: Sequence[_Node],
        outputs: Sequence[Output],
        made: Sequence[Sequence[_Value]],
    ) -> None:
        self.slots: list[Slot] = []
        self.calls: list[Call] = []
        self._slot_of: dict[_Source, int] = {}
        self._chain_slots: dict[_Value, int] = {}
        self._ready: set[_Source] = set(inputs)
        self._waiting: dict[int, _Value] = {}  # chains to compute, by the slots that they go to
        for index, source in enumerate(inputs):
            self._add(source, Slot(source.names, source.datatype, input=index))
        self._place_outputs(nodes, outputs, made)
        for node in nodes:
            for source in node.writes:
                if source not in self._slot_of:
                    self._add(source, Slot(source.names, source.datatype))
            for value in node.reads:
                if value.key and value not in self._chain_slots:
                    self._chain_slots[value] = len(self.slots)
                    self._waiting[len(self.slots)] = value
                    self.slots.append(Slot((value.source.names[value.element],), "FP64"))
        for node in nodes:
            self._call(node)
        self._run_chains()

    def _add(self, source: _Source, slot: Slot) -> None:
        self._slot_of[source] = len(self.slots)
        self.slots.append(slot)

    def _place_outputs(
        self, nodes: Sequence[_Node], outputs: Sequence[Output], made: Sequence[Sequence[_Value]]
    ) -> None:
        """The blocks that lie in an output as they are go straight there; all other columns are chains."""
        written = {source for node in nodes for source in node.writes}
        read = {value.source for node in nodes for value in node.reads}
        read |= {value.source for values in made for value in values if value.key}
        for index, (output, values) in enumerate(zip(outputs, made, strict=True)):
            column = 0
            while column < len(values):
                value = values[column]
                width = len(value.source.names)
                fits = value.source.datatype == output.datatype or (
                    value.source.datatype == "FP64" and output.datatype == "FP32" and value.source not in read
                )
                is_free = value.source in written and value.source not in self._slot_of
                starts = value.element == 0 and not value.key
                if starts and is_free and fits and _is_block(values[column : column + width], value.source):
                    slot = Slot(output.columns[column : column + width], output.datatype, -1, index, column)
                    self._add(value.source, slot)
                    column += width
                    continue
                self._waiting[len(self.slots)] = value
                self.slots.append(Slot((output.columns[column],), output.datatype, -1, index, column))
                column += 1

    def _call(self, node: _Node) -> None:
        if any(value.key and self._chain_slots[value] in self._waiting for value in node.reads):
            self._run_chains()
        reads = tuple(
            (self._chain_slots[value], 0) if value.key else (self._slot_of[value.source], value.element)
            for value in node.reads
        )
        writes = tuple(self._slot_of[source] for source in node.writes)
        step = node.step
        self.calls.append(Call(step.name, step.kernel, step.state, reads, writes, step.scratch_bytes))
        self._ready |= set(node.writes)

    def _run_chains(self) -> None:
        """One call for all chains whose columns are there."""
        now = [(value, slot) for slot, value in self._waiting.items() if value.source in self._ready]
        for _, slot in now:
            del self._waiting[slot]
        if not now:
            return
        names = [value.source.names[value.element] for value, _ in now]
        chains = tuple(value.ops for value, _ in now)
        reads = tuple((self._slot_of[value.source], value.element) for value, _ in now)
        writes = tuple(slot for _, slot in now)
        self.calls.append(
            Call(f"chain({', '.join(names)})", "chain", chain_state(chains), reads, writes, chains=chains)
        )


def cast_plan(inputs: Sequence[tuple[str, str]], *, output: str = "features", dtype: str = "FP64") -> Plan:
    """The plan of a model without transforms: numeric columns, in order, to a matrix [rows, columns].

    `inputs` are names and datatypes, `dtype` is FP32 or FP64. TransformError names a column that is no
    number.
    """
    check_matrix(dtype)
    for name, datatype in inputs:
        if datatype not in NUMERIC:
            raise TransformError(
                f"column {name!r} is {datatype}; without transforms a column must be numeric"
            )
    names = tuple(name for name, _ in inputs)
    if not names:
        raise TransformError("no column is named; a matrix needs at least one")
    return make_plan(inputs, [], [Output(output, dtype, names)])
