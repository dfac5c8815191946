"""A plan in words: which kernel reads what and where its results go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.transforms.plan import Call, Output, Plan, Slot
from penstock.transforms.steps import Op

_SHOWN = 4  # names or constants of a long list


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan as lines for people."""
    yield f"inputs: {_listed([f'{name} {datatype}' for name, datatype in plan.inputs], 12)}"
    for output in plan.outputs:
        yield f"output: {_output(output)}"
    for number, call in enumerate(plan.calls, 1):
        yield ""
        yield f"{number}. {_called(call)}, {_memory(call)}"
        yield from (f"   {line}" for line in _call_lines(plan, call))
    if plan.dropped:
        yield ""
        yield f"left out, since no feature depends on it: {_listed(list(plan.dropped), 12)}"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The same as JSON: slots by index, calls with what they read and write."""
    return {
        "inputs": [list(pair) for pair in plan.inputs],
        "outputs": [
            {"name": output.name, "datatype": output.datatype, "columns": list(output.columns)}
            for output in plan.outputs
        ],
        "slots": [
            {
                "columns": list(slot.names),
                "datatype": slot.datatype,
                "place": _place(plan, slot),
            }
            for slot in plan.slots
        ],
        "calls": [
            {
                "name": call.name,
                "kernel": _kernel(call),
                "state_bytes": sum(array.nbytes for array in call.state),
                "reads": [{"slot": slot, "column": column} for slot, column in call.reads],
                "writes": list(call.writes),
                "operations": [[_operation(op) for op in chain] for chain in call.chains],
            }
            for call in plan.calls
        ],
        "left_out": list(plan.dropped),
    }


def _call_lines(plan: Plan, call: Call) -> Iterator[str]:
    sources = [_source(plan, *read) for read in call.reads]
    targets = [_target(plan, plan.slots[slot]) for slot in call.writes]
    if call.chains:
        for source, chain, target in zip(sources, call.chains, targets, strict=True):
            yield f"{' -> '.join([source, *map(_operation, chain)])} -> {target}"
    elif len(sources) == len(targets):
        for source, target in zip(sources, targets, strict=True):
            yield f"{source} -> {target}"
    else:
        yield f"{', '.join(sources)} -> {', '.join(targets) or 'nothing: it checks the values'}"


def _called(call: Call) -> str:
    """Which transform's call it is, and by which kernel."""
    if not isinstance(call.kernel, str):
        return f"{call.name}, compiled when it is loaded"
    if call.chains:
        return "chain"
    return f"{_short(call.name)} by {call.kernel}"


def _short(name: str) -> str:
    kind, _, columns = name.removesuffix(")").partition("(")
    return f"{kind}({_listed(columns.split(', '), _SHOWN)})" if columns else name


def _kernel(call: Call) -> str:
    return call.kernel if isinstance(call.kernel, str) else "compiled when it is loaded"


def _memory(call: Call) -> str:
    state = sum(array.nbytes for array in call.state)
    scratch = f", {call.scratch_bytes:,} bytes of scratch memory" if call.scratch_bytes else ""
    return f"{state:,} bytes of state{scratch}"


def _source(plan: Plan, index: int, column: int) -> str:
    slot = plan.slots[index]
    name = slot.names[column]
    if slot.input >= 0:
        return f"{name} {slot.datatype}"
    return f"#{index} {name}"


def _target(plan: Plan, slot: Slot) -> str:
    place = _place(plan, slot)
    return f"{place} {_listed(list(slot.names), _SHOWN)}"


def _place(plan: Plan, slot: Slot) -> str:
    if slot.input >= 0:
        return f"input {slot.input}"
    if slot.output < 0:
        return f"#{plan.slots.index(slot)}"
    last = slot.column + len(slot.names)
    where = f"{slot.column}" if len(slot.names) == 1 else f"{slot.column}:{last}"
    return f"{plan.outputs[slot.output].name}[{where}]"


def _output(output: Output) -> str:
    shape = "[rows]" if output.flat else f"[rows, {len(output.columns)}]"
    return f"{output.name} {output.datatype} {shape}"


def _operation(op: Op) -> str:
    shown = [f"{value:.6g}" for value in op.constants[:_SHOWN]]
    if op.constants.size > _SHOWN:
        shown.append(f"... ({op.constants.size} numbers)")
    return " ".join([op.code, *shown])


def _listed(items: list[str], most: int) -> str:
    if len(items) <= most:
        return ", ".join(items)
    return f"{', '.join(items[: most - 1])} ... {items[-1]} ({len(items)})"
