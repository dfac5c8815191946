"""From a ScalarFunction to machine code of the kernel ABI, by Numba and LLVM.

Imports Numba, which takes half a second: to be imported where something must be compiled, and only there.

The kernel is a loop over rows around the user's function, written below in Python for Numba. It reads and
writes columns by address, as ext/transform/column.h lays them out, and turns an exception into a refused row.
Arithmetic is IEEE 754's: no fast-math, no contraction to fused multiply-add, division by zero as NumPy's.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numba
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core.errors import NumbaError, NumbaWarning
from numba.extending import intrinsic, overload

from penstock.errors import TransformError
from penstock.transforms.machine_code import ENTRY, MachineCode, target_machine
from penstock.transforms.scalar_function import ScalarFunction

_FP32, _FP64 = 11, 12  # of ext/base/datatype.h
# Numba's compiler turns these into LLVM's attributes. Division by zero is NumPy's: infinity or NaN.
_SEMANTICS = {"error_model": "numpy", "fastmath": False, "boundscheck": True}

# What no kernel may call: Python, which needs the GIL; parts of Numba that are not there; Intel's vector
# library, which rounds one row and many differently (NUMBA_DISABLE_INTEL_SVML=1 turns it off).
_BARRED = ("Py", "_Py", "numba_gil", ".numba.unresolved", "__svml")


def compile_kernel(function: ScalarFunction, outputs: int) -> MachineCode:
    """The kernel that runs `function` on each row and writes one block.

    It reads an FP64 column for each argument. The block has `outputs` columns, FP64 or FP32. TransformError
    names the function and the line that cannot be compiled.
    """
    if numba.config.DISABLE_JIT:
        raise function.error("NUMBA_DISABLE_JIT is set, so that nothing can be compiled; unset it")
    if numba.config.BOUNDSCHECK == 0:
        raise function.error("NUMBA_BOUNDSCHECK is 0, so that it could read behind an array's end; unset it")
    names = function.namespace()  # the functions' globals
    names.setdefault("int", _integer_of)
    for definition in function.definitions:
        names[definition.name] = numba.njit(nogil=True, **_SEMANTICS)(names[definition.name])
    compiled = names[function.main.name]
    signature = types.int32(types.intp, types.intp, types.intp, types.int64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaWarning)  # they are about speed
            compiled.compile((types.float64,) * len(function.arguments))
            (found,) = compiled.nopython_signatures
            parts = _parts(function, found.return_type, outputs)
            callback = numba.cfunc(signature, nopython=True, **_SEMANTICS)(
                _kernel(compiled, len(function.arguments), parts)
            )
    except TransformError:
        raise
    except NumbaError as error:
        raise _explained(function, error) from error
    except Exception as error:  # what it has not foreseen fails in any way
        raise function.error(f"Numba cannot compile it: {type(error).__name__}: {error}") from error
    module = _reduced(callback.inspect_llvm(), callback.native_name)
    made = MachineCode(
        target_machine().emit_object(module),
        portable=re.search(r"inttoptr \(i64 -?\d+ to", str(module)) is None,
    )
    for symbol in made.needed():
        if symbol.startswith(_BARRED):
            raise function.error(
                f"its machine code would call {symbol}; keep to numbers, tuples and loops over them"
            )
    return made


def _parts(function: ScalarFunction, returned: Any, outputs: int) -> Sequence[str]:
    """What a row's outputs are, as expressions of `made`."""
    if isinstance(returned, types.Optional) or returned == types.none:
        raise function.error(
            "it returns nothing on one of its ways; return a number on each, NaN for missing"
        )
    several = isinstance(returned, types.BaseTuple)
    members = list(returned) if several else [returned]
    for member in members:
        if not isinstance(types.unliteral(member), types.Integer | types.Float | types.Boolean):
            raise function.error(f"it returns {returned}; expected a number or a tuple of numbers")
    if len(members) != outputs:
        raise function.error(
            f"it returns {len(members)} number{'s' * (len(members) > 1)}, and outputs names {outputs}"
        )
    return [f"made[{index}]" for index in range(outputs)] if several else ["made"]


def _kernel(compiled: Any, inputs: int, parts: Sequence[str]) -> Callable[..., Any]:
    """The loop, in Python that Numba compiles. It refuses, with 1, columns that it is not made for."""
    columns = range(inputs)
    arguments = ", ".join(f"fp64_at(from{c})" for c in columns)
    lines = [
        "def kernel(state, inputs, outputs, rows):",
        f"    if int64_at(state + 16) != {inputs} or int64_at(state + 24) != 1:",
        "        return int32(1)",
        f"    if int32_at(outputs + 20) != {len(parts)}:",
        "        return int32(1)",
        "    dtype = int32_at(outputs + 16)",
        f"    if dtype != {_FP64} and dtype != {_FP32}:",
        "        return int32(1)",
    ]
    for c in columns:
        lines += [
            f"    if int32_at(inputs + {24 * c + 16}) != {_FP64}:",
            "        return int32(1)",
            f"    from{c} = int64_at(inputs + {24 * c})",
        ]
    lines += [
        "    to = int64_at(outputs)",
        "    for row in range(rows):",
        "        try:",
        f"            made = function({arguments})",
        f"            values = ({', '.join(f'float64({part})' for part in parts)},)",
        "        except Exception:",
        "            return int32(1 + row)",
        f"        if dtype == {_FP64}:",
        *(f"            put_fp64(to + {8 * p}, values[{p}])" for p in range(len(parts))),
        "        else:",
        *(f"            put_fp32(to + {4 * p}, values[{p}])" for p in range(len(parts))),
        "        to += int64_at(outputs + 8)",
        *(f"        from{c} += int64_at(inputs + {24 * c + 8})" for c in columns),
        "    return int32(0)",
    ]
    names: dict[str, Any] = {
        "__name__": __name__,
        "float64": types.float64,
        "fp64_at": _FP64_AT,
        "function": compiled,
        "int32": types.int32,
        "int32_at": _INT32_AT,
        "int64_at": _INT64_AT,
        "put_fp32": _PUT_FP32,
        "put_fp64": _PUT_FP64,
    }
    exec(compile("\n".join(lines), "<kernel>", "exec"), names)
    kernel: Callable[..., Any] = names["kernel"]
    return kernel


def _integer_of(number: Any) -> int:
    """What `int` means to a custom transform; compiled, by the overload below."""
    return int(number)


@overload(_integer_of)  # type: ignore[untyped-decorator]
def _compiled_integer_of(number: Any) -> Any:
    """As Python's: an exception for NaN, infinity and more than 64 bits, where LLVM's result is undefined."""

    def exact(number: Any) -> int:
        return int(number)

    def checked(number: Any) -> int:
        if not -(2.0**63) <= number < 2.0**63:
            raise OverflowError("no integer of 64 bits")
        return int(number)

    return checked if isinstance(number, types.Float) else exact


def _loading(kind: Any, form: ir.Type) -> Any:
    """A function for compiled code: the value of Numba's type `kind` that lies at an address."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(context: Any, address: Any) -> Any:
        def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], form.as_pointer()))

        return kind(types.intp), generate

    return load


def _storing(form: ir.Type) -> Any:
    """A function for compiled code: puts a double at an address, as a number of that form."""

    @intrinsic  # type: ignore[untyped-decorator]
    def store(context: Any, address: Any, value: Any) -> Any:
        def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = arguments[1] if form == arguments[1].type else builder.fptrunc(arguments[1], form)
            builder.store(number, builder.inttoptr(arguments[0], form.as_pointer()))
            return target.get_dummy_value()

        return types.void(types.intp, types.float64), generate

    return store


_INT32_AT = _loading(types.int32, ir.IntType(32))
_INT64_AT = _loading(types.int64, ir.IntType(64))
_FP64_AT = _loading(types.float64, ir.DoubleType())
_PUT_FP32 = _storing(ir.FloatType())
_PUT_FP64 = _storing(ir.DoubleType())


def _reduced(assembly: str, entry: str) -> llvm.ModuleRef:
    """The module with one function to be called from outside, ENTRY, and without what that does not need.

    Numba's wrapper would take the GIL to print an exception that leaves the kernel. None does; once the
    kernel is internal, LLVM sees that too and drops that part, and with it all of Python.
    """
    module = llvm.parse_assembly(assembly)
    for item in (*module.functions, *module.global_variables):
        if not item.is_declaration and item.name != entry:
            item.linkage = "internal"
    module.get_function(entry).name = ENTRY
    builder = llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    return module


def _explained(function: ScalarFunction, error: NumbaError) -> TransformError:
    """What matters of Numba's message: the innermost line of the user's source, and the reason."""
    text = str(error)
    place = re.search(r'File "[^"]*<custom (\w+)>", line (\d+)', text)
    reason = [
        line.strip()
        for line in text.split("\nDuring: ", 1)[0].split("\nFile ", 1)[0].splitlines()
        if line.strip() and not line.startswith("Failed in nopython mode")
    ]
    call = next((line.removeprefix(">>> ") for line in reason if line.startswith(">>> ")), None)
    reason = [re.sub(r"of type Module\(<module '([\w.]+)'.*?>\)", r"of \1", line) for line in reason]
    if call:
        message = f"there is no {call.replace(_integer_of.__name__, 'int')}"
    else:
        message = reason[0] if reason else "Numba cannot compile it"
    message = message if len(message) <= 300 else message[:299] + "…"
    definitions = {definition.name: definition for definition in function.definitions}
    if place is None:
        return function.error(message)
    return function.error(message, definitions[place[1]], int(place[2]))
