"""Custom transforms: what goes in and comes out, what is refused and how it is told, and who may run them."""

from __future__ import annotations

import builtins
import gc
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from custom_kernels import Column, call, column

from penstock import transforms as t
from penstock.bfloat16 import values_of
from penstock.errors import InputError, RefusedError, TransformError
from penstock.transforms import compiled, numba_kernel
from penstock.transforms.captured import scalar_function_of
from penstock.transforms.compiled import kernel_of
from penstock.transforms.machine_code import MachineCode
from penstock.transforms.plan import Output
from penstock.transforms.planner import make_plan
from penstock.transforms.saved import from_json, to_json
from penstock.transforms.scalar_function import ScalarFunction

Array = np.ndarray[Any, Any]

HOUR = 60
UNITS = ("miles", "km")
FACTORS = {"miles": 1.0}
LARGE = 2**80


def speed(distance, minutes):
    """Per hour."""
    if minutes < 0:
        raise ValueError("time goes on")
    return distance / minutes * HOUR


def run(transform: t.Transform, **columns: Any) -> Array:
    return t.Features([transform]).fit_transform({name: np.asarray(c) for name, c in columns.items()})


def test_a_function_of_two_columns_gives_a_feature_of_its_name_in_the_first_ones_place() -> None:
    frame = {"d": np.array([10.0, 5.0, np.nan]), "m": np.array([30, 0, 10]), "x": np.array([1, 2, 3])}
    features = t.Features([t.Select(["x", "d"]), t.Custom(["d", "m"], speed)])
    made = features.fit_transform(frame)
    assert features.output_names == ["x", "speed"]
    np.testing.assert_array_equal(made, [[1, 20.0], [2, np.inf], [3, np.nan]])


def test_keep_leaves_the_columns_and_names_are_the_callers() -> None:
    def both(a, b):
        return a + b, a > b

    features = t.Features([t.Custom(["a", "b"], both, ["sum", "more"], keep=True, name="both of them")])
    made = features.fit_transform({"a": np.array([1.0, 4.0]), "b": np.array([2, 3])})
    assert features.output_names == ["a", "sum", "more", "b"]
    np.testing.assert_array_equal(made, [[1, 3, 0, 2], [4, 7, 1, 3]])
    assert "custom both of them(a, b)" in [call.name for call in features.plan().calls]


def test_what_a_function_takes_from_outside_is_recorded_by_value() -> None:
    scale, table = 3, (1.0, (2.0, -1.0))

    def f(x):
        return scale * x + table[1][0] + len(UNITS[1]) + (0 if UNITS[0] == "miles" else 100)

    transform = t.Custom("x", f)
    scale = 1000  # what f would see now
    np.testing.assert_array_equal(run(transform, x=[1.0]), [[7.0]])
    assert dict(transform.function.constants) == {"scale": 3, "table": table, "UNITS": UNITS}


def test_helpers_nested_functions_loops_arrays_and_exceptions_of_its_own_work() -> None:
    def series(x, n):
        total = np.zeros(3)
        for i in range(int(n)):
            total[i % 3] += x**i
        return total.sum()

    def f(x):
        def capped(y):
            try:
                if y > 10:
                    raise ValueError("too much")
            except Exception:
                return 10.0
            return y

        return capped(series(x, 5)) + min(x, 0.5)

    made = run(t.Custom("x", f, helpers=[series]), x=[0.5, 1.0, 3.0])
    np.testing.assert_allclose(made[:, 0], [0.5 + 1.9375, 5.5, 10.5], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_every_number_arrives_as_a_double(dtype: str) -> None:
    def same(x):
        return x

    if dtype == "f2":
        values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    else:
        values = np.frombuffer(np.random.default_rng(1).bytes(8000), dtype)
        values = values.astype(bool) if dtype == "b1" else values
    with np.errstate(invalid="ignore"):
        expected = values.astype(np.float64)
    np.testing.assert_array_equal(run(t.Custom("x", same), x=values)[:, 0], expected)


def test_a_bfloat16_arrives_as_a_double() -> None:
    def same(x):
        return x

    bits = np.arange(2**16, dtype=np.uint16)
    plan = make_plan(
        [("x", "BF16")],
        t.Custom("x", same).steps({"x": "BF16"}),
        [Output("same", "FP64", ("same",), flat=True)],
    )
    with np.errstate(invalid="ignore"):
        expected = values_of(bits).astype(np.float64)
    np.testing.assert_array_equal(plan.program().run({"x": bits})["same"], expected)


def test_columns_that_are_no_doubles_become_doubles_before_it_and_stay_as_they_were_behind_it() -> None:
    def total(a, b, c):
        return a + b + c

    custom = t.Custom(["a", "b", "c"], total, keep=True)
    frame = {"a": np.array([2**53 + 1, 3]), "b": np.array([0.5, np.nan]), "c": np.array([True, False])}
    features = t.Features([custom, t.OneHot("a")]).fit(frame)
    assert features.inputs == [("a", "INT64"), ("b", "FP64"), ("c", "BOOL")]
    assert features.output_names == ["a=3", f"a={2**53 + 1}", "total", "b", "c"]
    made = features.transform(frame)
    np.testing.assert_array_equal(made, [[0, 1, 2.0**53, 0.5, 1], [1, 0, np.nan, np.nan, 0]])
    plan = t.Features([t.Custom(["a", "b", "c"], total)]).fit(frame).plan()
    assert [call.name for call in plan.calls] == ["chain(a, c)", "custom total(a, b, c)"]


def test_a_refused_row_shows_the_first_columns_number_whatever_its_datatype() -> None:
    def speed(minutes, distance):
        if minutes < 0:
            raise ValueError
        return distance / minutes

    features = t.Features([t.Custom(["m", "d"], speed)]).fit(
        {"m": np.array([1, 2], np.int8), "d": np.ones(2)}
    )
    with pytest.raises(InputError, match=r"custom speed\(m, d\) refused row 1: -7$"):
        features.transform({"m": np.array([1, -7]), "d": np.ones(2)})


@pytest.mark.parametrize(("datatype", "dtype"), [("FP64", np.float64), ("FP32", np.float32)])
def test_rows_are_read_and_written_by_their_strides_and_nothing_else_is(datatype: str, dtype: Any) -> None:
    def f(a, b):
        return a + b, a * b

    address = kernel_of(scalar_function_of(f), 2)
    wide = np.arange(40.0).reshape(10, 4)
    narrow = np.arange(30.0).reshape(10, 3)
    out = np.full((10, 5), -1, dtype)
    inputs = [column(wide[:, 2], "FP64"), column(narrow[:, 1], "FP64")]
    assert call(address, inputs, [column(out[:9, 1:3], datatype)], 9) == 0
    a, b = wide[:9, 2], narrow[:9, 1]
    np.testing.assert_array_equal(out[:9, 1:3], np.column_stack([a + b, a * b]).astype(dtype))
    assert (out[9] == -1).all()
    assert (out[:, [0, 3, 4]] == -1).all()


def test_a_kernel_refuses_columns_that_it_was_not_made_for() -> None:
    def f(a, b):
        return a + b

    address = kernel_of(scalar_function_of(f), 1)
    values, single, out = np.ones(4), np.ones(4, np.float32), np.full(4, -1.0)
    a, b, to = column(values, "FP64"), column(values, "FP64"), column(out, "FP64")
    assert call(address, [a, b], [to], 0) == 0
    odd = [
        ([a, column(single, "FP32")], [to]),
        ([column(values.view(np.int64), "INT64"), b], [to]),
        ([a], [to]),
        ([a, b, b], [to]),
        ([a, b], [to, to]),
        ([a, b], [column(out.view(np.int64), "INT64")]),
        ([a, b], [Column(to.data, 8, to.dtype, 2)]),
        ([a, b], [Column(to.data, 8, to.dtype, 0)]),
    ]
    for inputs, outputs in odd:
        assert call(address, inputs, outputs, 4) == 1
    assert (out == -1).all()


def test_arithmetic_is_ieee_754s_without_fused_operations() -> None:
    def f(a, b, c):
        return a * b + c

    near = 1 + 2.0**-30
    assert run(t.Custom(["a", "b", "c"], f), a=[near], b=[near], c=[-(1 + 2.0**-29)])[0, 0] == 0.0


def test_one_row_and_many_agree_to_the_bit() -> None:
    def f(x, y):
        return math.sin(x) * y + math.exp(-abs(x)) / (y - 1), np.log1p(abs(y)) ** 0.3

    random = np.random.default_rng(3)
    frame = {"x": random.normal(size=1000) * 10, "y": random.normal(size=1000)}
    features = t.Features([t.Custom(["x", "y"], f, ["a", "b"])]).fit(frame)
    made = features.transform(frame)
    for row in range(0, 1000, 7):
        alone = features.transform({name: values[row : row + 1] for name, values in frame.items()})
        assert alone.tobytes() == made[row : row + 1].tobytes()


def test_a_function_of_numbers_needs_nothing_but_libm_so_neither_memory_nor_python() -> None:
    def f(x, y):
        if x > y:
            raise ValueError("not that way")
        return sum((x, y)) / y + math.sin(x), HOUR * abs(x)

    made = numba_kernel.compile_kernel(scalar_function_of(f), 2)
    assert made.needed() == ["sin"]
    assert made.portable


def raises(x):
    if x > 3:
        raise ValueError
    return x


def asserts(x):
    assert x <= 3, "at most three"
    return x


def reads_behind_the_end(x):
    return (1.0, 2.0, 3.0, 4.0)[int(x)]


def reads_behind_an_array(x):
    return np.ones(4)[int(x)]


def makes_an_integer(x):
    return int(x * 1e18 * 3)


def raises_in_a_helper(x):
    return raises(x)


REFUSING = [
    raises,
    asserts,
    reads_behind_the_end,
    reads_behind_an_array,
    makes_an_integer,
    raises_in_a_helper,
]


@pytest.mark.parametrize("function", REFUSING, ids=lambda f: f.__name__)
def test_an_exception_refuses_the_row_and_prints_nothing(
    function: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    helpers = [raises] if function is raises_in_a_helper else []
    features = t.Features([t.Custom("x", function, helpers=helpers)]).fit({"x": np.array([1.0])})
    values = np.ones(500)
    features.transform({"x": values})
    values[300] = 4.0
    with pytest.raises(InputError, match=rf"custom {function.__name__}\(x\).*row 300"):
        features.transform({"x": values})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**63])
def test_int_of_what_is_no_integer_refuses_the_row_as_python_would(value: float) -> None:
    def f(x):
        return int(x)

    features = t.Features([t.Custom("x", f)]).fit({"x": np.array([1.0])})
    np.testing.assert_array_equal(
        features.transform({"x": np.array([-(2.0**63), 2.9])})[:, 0], [-(2.0**63), 2]
    )
    with pytest.raises(InputError, match="row 1"):
        features.transform({"x": np.array([0.0, value])})


def with_default(x, y=1):
    return x


def with_star(*x):
    return x[0]


def importing(x):
    import os

    return os.getpid() + x


def remembering(x):
    global HOUR
    HOUR = x
    return x


def printing(x):
    print(x)
    return x


def opening(x):
    return len(open("/etc/passwd").read()) + x  # noqa: PTH123


def using_a_dict(x):
    return FACTORS["miles"] * x


def using_a_large_number(x):
    return LARGE + x


def using_a_module(x):
    return json.loads("1") + x


def using_what_is_not_there(x):
    return nowhere + x  # noqa: F821


def calling_another(x):
    return raises(x)


def recurring(x):
    return x if x < 0 else recurring(x - 1)


def drawing(x):
    return np.random.rand() + x


def reaching(x):
    return x.__class__


def flooring(x):
    return math.floor(x)


def narrowing(x):
    return np.int32(x)


def of_no_such_function(x):
    return math.no_such(x)


def generating(x):
    yield x


def raising_a_value(x):
    raise ValueError(x)


def of_no_columns():
    return 1.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, "a lambda has no source of its own; give it a name with def"),
        (math.sin, "no Python function; write one with def"),
        ("speed", "no Python function"),
        (
            with_default,
            "(line 1: `def with_default(x, y=1):`): with_default has other parameters than plain ones",
        ),
        (with_star, "other parameters than plain ones"),
        (importing, "(line 2: `import os`): imports; import it outside"),
        (remembering, "(line 2: `global HOUR`)"),
        (
            printing,
            "the name 'print' in printing is not for transforms; they are math, numpy, numbers and tuples",
        ),
        (opening, "the name 'open'"),
        (using_a_dict, "FACTORS is a dict; only numbers, text, tuples of them, math and numpy"),
        (using_a_large_number, "the constant LARGE is 1208925819614629174706176, beyond 64 bits"),
        (using_a_module, "json is a module; only"),
        (using_what_is_not_there, "the name 'nowhere' in using_what_is_not_there is not defined where"),
        (calling_another, "calls raises, a function of yours; pass helpers=[raises]"),
        (recurring, "calls itself; use a loop"),
        (drawing, "(line 2: `return np.random.rand() + x`): 'random' is not for transforms"),
        (reaching, "'__class__' is not for transforms"),
        (flooring, "math.floor is not for transforms; use np.floor"),
        (narrowing, "numpy.int32 is not for transforms; use int,"),
        (of_no_such_function, "(line 2: `return math.no_such(x)`): math has no 'no_such'"),
        (generating, "(line 2: `yield x`): yields"),
        (raising_a_value, "(line 2: `raise ValueError(x)`): what it raises holds a value"),
        (of_no_columns, "it has 0 parameters (none) for 1 columns (x)"),
        (speed, "it has 2 parameters (distance, minutes) for 1 columns (x)"),
    ],
)
def test_a_function_that_cannot_be_a_transform_is_refused_with_what_to_do(
    function: Any, message: str
) -> None:
    with pytest.raises(TransformError) as refused:
        t.Custom("x", function)
    assert message in str(refused.value)


def test_a_function_without_a_source_is_refused() -> None:
    names: dict[str, Any] = {}
    exec("def f(x):\n    return x", names)
    with pytest.raises(TransformError, match="custom transform f: the source of f cannot be found"):
        t.Custom("x", names["f"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": []}, "outputs is \\[\\]"),
        ({"outputs": 3}, "outputs is 3"),
        ({"outputs": ["a", None]}, "outputs is"),
        ({"helpers": [raises, raises]}, "the name 'raises' has two meanings"),
        ({"outputs": ["a", "a"]}, "the output 'a' is there already"),
        ({"outputs": ["x"], "keep": True}, "the output 'x' is there already"),
        ({"name": ""}, "name is ''"),
        ({"keep": 1}, "keep is 1"),
    ],
)
def test_odd_parameters_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TransformError, match=message):
        t.Custom("x", raises, **arguments)


def test_text_is_refused_by_its_column() -> None:
    with pytest.raises(TransformError, match=r"column 'x': it is text .* as with an Ordinal"):
        t.Features([t.Custom("x", raises)]).fit({"x": ["a", "b"]})


def adds_text(x):
    y = x
    return y + "a"


def of_a_wrong_call(x):
    return math.sin(x, x)


def sometimes_nothing(x):  # noqa: RET503
    if x > 0:
        return 1.0


def returns_text(x):
    return "text"


def returns_an_array(x):
    return np.zeros(2)


def returns_three(x):
    return x, x, x


def calls_a_bad_helper(x):
    z = x + 1
    return adds_text(z)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            adds_text,
            'custom transform adds_text (line 3: `return y + "a"`): there is no add(float64,',
        ),
        (of_a_wrong_call, "(line 2: `return math.sin(x, x)`): there is no sin(float64, float64)"),
        (
            sometimes_nothing,
            "custom transform sometimes_nothing: it returns nothing on one of its ways; return a number",
        ),
        (returns_text, "it returns Literal[str](text); expected a number or a tuple of numbers"),
        (returns_an_array, "it returns array(float64, 1d, C); expected a number or a tuple of numbers"),
        (returns_three, "it returns 3 numbers, and outputs names 1"),
        (
            calls_a_bad_helper,
            'custom transform calls_a_bad_helper (adds_text, line 3: `return y + "a"`): there is no add(',
        ),
    ],
)
def test_what_numba_cannot_compile_is_told_at_fit_with_the_line(function: Any, message: str) -> None:
    helpers = [adds_text] if function is calls_a_bad_helper else []
    with pytest.raises(TransformError) as refused:
        t.Features([t.Custom("x", function, helpers=helpers)]).fit({"x": np.ones(1)})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("setting", "value"), [("DISABLE_JIT", 1), ("BOUNDSCHECK", 0)])
def test_settings_of_numba_that_would_make_other_code_are_refused(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: int
) -> None:
    def f(x):
        return x + 0.125

    monkeypatch.setattr(numba.config, setting, value)
    with pytest.raises(TransformError, match=f"custom transform f: NUMBA_{setting} is .*; unset it"):
        run(t.Custom("x", f), x=[1.0])


def fitted() -> t.Features:
    return t.Features([t.Custom(["d", "m"], speed)]).fit({"d": np.ones(2), "m": np.ones(2)})


def saved() -> Any:
    return json.loads(json.dumps(fitted().document(), allow_nan=False))


def test_a_saved_function_is_text_that_people_can_read_and_comes_back_as_it_was() -> None:
    first = t.Custom(["d", "m"], speed)
    assert "\\n" not in json.dumps(saved())
    again = t.Custom(**{key: from_json(to_json(value)) for key, value in first.parameters().items()})
    assert again.function == first.function
    assert again.parameters() == first.parameters()
    assert first.function.text.splitlines()[:3] == ["HOUR = 60", "", "def speed(distance, minutes):"]


def test_a_constant_or_a_body_that_changes_changes_the_document() -> None:
    def of(scale: float) -> t.Custom:
        def f(x):
            return x * scale

        return t.Custom("x", f)

    assert to_json(of(1.0).parameters()) != to_json(of(1.5).parameters())
    assert to_json(of(1).parameters()) != to_json(of(2).parameters())
    np.testing.assert_array_equal(run(of(math.inf), x=[2.0]), [[np.inf]])
    again = t.Custom(**{key: from_json(to_json(v)) for key, v in of(math.nan).parameters().items()})
    assert math.isnan(again.function.constants["scale"])


def test_reading_a_document_runs_nothing_of_it_and_running_it_needs_a_permission(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = saved()
    frame = {"d": np.array([3.0]), "m": np.array([2.0])}

    def exec_(*_: Any) -> None:
        raise AssertionError("something was executed")

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "exec", exec_)
        patch.setattr("penstock.transforms.custom.kernel_of", exec_)
        features = t.Features.from_saved(document, {})
        assert features.inputs == [("d", "FP64"), ("m", "FP64")]
        assert features.output_names == ["speed"]
        assert features.plan().calls[0].name == "custom speed(d, m)"
        with pytest.raises(RefusedError) as refused:
            features.transform(frame)
    for way in (
        "allow_custom_transforms = true",
        "PENSTOCK_REPOSITORY_ALLOW_CUSTOM_TRANSFORMS=true",
        "--allow-custom-transforms",
        "allow_custom=True",
    ):
        assert way in str(refused.value)
    allowed = t.Features.from_saved(document, {}, allow_custom=True)
    assert allowed.transform(frame).tolist() == [[90.0]]


def function_of(document: Any) -> dict[str, Any]:
    return dict(document["transforms"][0]["parameters"]["function"]["mapping"])


def forged(**changes: Any) -> Any:
    document = saved()
    function = function_of(document) | changes
    document["transforms"][0]["parameters"]["function"] = {"mapping": [[k, v] for k, v in function.items()]}
    return document


def mapping(**values: Any) -> Any:
    return {"mapping": [[name, value] for name, value in values.items()]}


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


DEF = "def speed(distance, minutes):"
HOURS = mapping(HOUR=60)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": [DEF, "    return 1.0", "print('run')"]},
        {"source": ["print('run')"]},
        {"source": [DEF.replace("minutes", "minutes=print('run')"), "    return 1.0"]},
        {"source": ["@print", DEF, "    return 1.0"]},
        {"source": ["class speed:", "    pass"]},
        {"source": ["def other(distance, minutes):", "    return 1.0"]},
        {"source": ["def speed(distance):", "    return 1.0"]},
        {"source": [DEF, "    return open('x')"]},
        {"source": [DEF, "    return (1.0).__class__"]},
        {"source": [DEF, "    return " + "(" * 300 + "1" + ")" * 300]},
        {"source": [DEF, "    return " + "-" * 50_000 + "1.0"]},
        {"source": [DEF, "    return 1.0" + " " * 70_000]},
        {"source": [DEF, "    return 1.0  # \x1b[2K"]},
        {"source": [DEF, "    return 1.0  # \u202e"]},
        {"source": [DEF, "    return 1.0\u2028    return 2.0"]},
        {"source": [DEF, "    return 1.0 + \x00"]},
        {"source": [DEF, "    return"], "name": "print"},
        {"source": DEF},
        {"source": [1]},
        {"source": None},
        {"name": "not a name"},
        {"name": 3},
        {"name": "__import__"},
        {"helpers": [["HOUR", ["def HOUR(x):", "    return x"]]]},
        {"helpers": [["helper", ["def helper(x):", "    return speed(x, x)"]]]},
        {"helpers": [["speed", [DEF, "    return 1.0"]]]},
        {"helpers": [["helper"]]},
        {"helpers": {"float": "nan"}},
        {"imports": mapping(os="os")},
        {"imports": mapping(f="math.__loader__")},
        {"imports": mapping(f="numpy.random")},
        {"imports": mapping(f="numpy.linalg.norm")},
        {"imports": mapping(f=3)},
        {"imports": mapping(f="math.floor")},
        {"imports": ["os"]},
        {"constants": mapping(HOUR={"mapping": []})},
        {"constants": mapping(HOUR=None)},
        {"constants": mapping(HOUR=2**70)},
        {"constants": mapping(HOUR=[1.0] * 2000)},
        {"constants": mapping(HOUR=60, **{f"n{i}": [] for i in range(5000)})},
        {"constants": mapping(HOUR=nested(900))},
        {"constants": mapping(HOUR=60, __builtins__=1)},
        {"constants": mapping()},
        {"constants": 60},
        {"more": 1},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_forged_function_is_refused_when_it_is_read_and_not_run(
    changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TransformError):
        t.Features.from_saved(forged(**changes), {}, allow_custom=True)
    assert capsys.readouterr().out == ""


def test_a_forged_function_that_does_not_compile_is_refused_with_its_line() -> None:
    document = forged(source=[DEF, "    x = HOUR", '    return x + "a"'])
    features = t.Features.from_saved(document, {}, allow_custom=True)
    with pytest.raises(TransformError, match=r"custom transform speed \(line 3: `return x \+ \"a\"`\)"):
        features.program()


def test_annotations_are_not_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    document = forged(
        source=["def speed(distance: print('run'), minutes) -> print('run'):", "    return 7.0"]
    )
    frame = {"d": np.ones(1), "m": np.ones(1)}
    made = t.Features.from_saved(forged(constants=HOURS), {}, allow_custom=True).transform(frame)
    assert made.tolist() == [[60.0]]
    assert t.Features.from_saved(document, {}, allow_custom=True).transform(frame).tolist() == [[7.0]]
    assert capsys.readouterr().out == ""


def test_one_content_is_compiled_once_whoever_asks_and_outlives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    compilations: list[str] = []
    compile_kernel = numba_kernel.compile_kernel

    def counted(function: ScalarFunction, outputs: int) -> MachineCode:
        compilations.append(function.main.name)
        return compile_kernel(function, outputs)

    monkeypatch.setattr(numba_kernel, "compile_kernel", counted)

    def once(x):
        return x * 3.25

    addresses: list[int] = []
    threads = [
        threading.Thread(target=lambda: addresses.append(kernel_of(scalar_function_of(once), 1)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compilations == ["once"]
    assert len(addresses) == 6
    assert len(set(addresses)) == 1
    gc.collect()
    out = np.zeros(2)
    assert call(addresses[0], [column(np.array([1.0, 2.0]), "FP64")], [column(out, "FP64")], 2) == 0
    assert out.tolist() == [3.25, 6.5]

    monkeypatch.setattr(compiled, "_addresses", {})  # as in another process
    assert kernel_of(scalar_function_of(once), 1) != addresses[0]
    assert compilations == ["once"]


def test_equal_names_with_other_bodies_are_other_kernels_in_one_process() -> None:
    def of(body: str) -> t.Features:
        document = forged(source=[DEF, f"    return {body}"])
        return t.Features.from_saved(document, {}, allow_custom=True)

    frame = {"d": np.array([6.0]), "m": np.array([2.0])}
    bodies = ["distance + minutes", "distance - minutes", "distance * minutes"]
    assert [of(body).transform(frame)[0, 0] for body in bodies] == [8.0, 4.0, 12.0]
