"""The ONNX executor against onnxruntime's own Python session, bit for bit."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import executor_probe
import numpy as np
import onnx_models
import onnxruntime
import pytest
from executor_probe import FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT, NOT_FOUND, Failure, Probe
from onnx import TensorProto, helper


def reference(path: Path, **feeds: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def assert_same_bits(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> None:
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("dtype", [*executor_probe.DTYPES, "BYTES"])
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_every_datatype_comes_out_as_it_went_in(probe: Probe, tmp_path: Path, dtype: str, rows: int) -> None:
    model = probe.onnx(onnx_models.identity(tmp_path / "identity.onnx", dtype))
    assert model.inputs == [("x", dtype, (-1, 3))]
    assert model.outputs == [("y", dtype, (-1, 3))]
    values = onnx_models.sample(dtype, (rows, 3))
    (out,) = model.run(values)
    if dtype == "BYTES":
        assert out.shape == values.shape
        assert out.tolist() == values.tolist()
    else:
        assert_same_bits(out, values)


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 257])
@pytest.mark.parametrize("optimization", ["none", "basic", "extended", "all"])
def test_dense_layers_equal_onnxruntime(probe: Probe, tmp_path: Path, rows: int, optimization: str) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    options = onnxruntime.SessionOptions()
    level = {
        "none": "DISABLE_ALL",
        "basic": "ENABLE_BASIC",
        "extended": "ENABLE_EXTENDED",
        "all": "ENABLE_ALL",
    }
    options.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel, f"ORT_{level[optimization]}"
    )
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(rows).normal(size=(rows, 32)).astype(np.float32)
    (ours,) = probe.onnx(path, optimization=optimization).run(x)
    assert_same_bits(ours, session.run(None, {"x": x})[0])


def test_fixed_and_open_dimensions_and_scalars_are_described(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.save(
        tmp_path / "dims.onnx",
        [helper.make_node("Identity", ["a"], ["b"]), helper.make_node("Identity", ["s"], ["t"])],
        [("a", "FP32", ("rows", 2, None, "width")), ("s", "INT64", ())],
        [("b", "FP32", ("rows", 2, None, "width")), ("t", "INT64", ())],
    )
    model = probe.onnx(path)
    assert model.inputs == [("a", "FP32", (-1, 2, -1, -1)), ("s", "INT64", ())]
    a = np.arange(2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)
    b, t = model.run(a, np.array(-5, dtype=np.int64))
    assert_same_bits(b, a)
    assert t.shape == ()
    assert t == -5


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return onnx_models.save(
        tmp_path / "many.onnx",
        [
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Mul", ["a", "b"], ["product"]),
            helper.make_node("Identity", ["s"], ["words"]),
            helper.make_node("Cast", ["a"], ["whole"], to=TensorProto.INT64),
        ],
        [("a", "FP32", ("n", 2)), ("b", "FP32", ("n", 2)), ("s", "BYTES", ("n",))],
        [
            ("sum", "FP32", ("n", 2)),
            ("product", "FP32", ("n", 2)),
            ("words", "BYTES", ("n",)),
            ("whole", "INT64", ("n", 2)),
        ],
    )


def test_several_inputs_and_outputs_of_mixed_types(probe: Probe, many: Path) -> None:
    a, b = np.float32([[1.5, 2], [3, 4]]), np.float32([[10, 20], [30, 40]])
    s = np.array(["ein", "zwei"], dtype=object)
    total, product, words, whole = probe.onnx(many).run(a, b, s)
    theirs = reference(many, a=a, b=b, s=s)
    for ours, wanted in zip((total, product, whole), (theirs[0], theirs[1], theirs[3]), strict=True):
        assert_same_bits(ours, wanted)
    assert [w.decode() for w in words] == list(theirs[2])


@pytest.mark.parametrize("wanted", [(1,), (3, 0), (2, 1, 3), ()])
def test_only_wanted_outputs_come_in_the_order_asked(
    probe: Probe, many: Path, wanted: tuple[int, ...]
) -> None:
    a, b = np.float32([[1, 2]]), np.float32([[5, 7]])
    s = np.array([b"w"], dtype=object)
    model = probe.onnx(many)
    every = model.run(a, b, s)
    some = model.run(a, b, s, wanted=wanted)
    assert [x.tolist() for x in some] == [every[i].tolist() for i in wanted]


def test_numbers_stay_in_the_librarys_memory_and_strings_are_copied_to_the_arena(
    probe: Probe, many: Path
) -> None:
    session = probe.onnx(many).session()
    a = np.float32([[1, 2]])
    s = np.array([b"w"], dtype=object)
    session.run(a, a, s, wanted=(0,))
    assert session.holds
    session.run(a, a, s, wanted=(2,))
    assert not session.holds
    session.close()


def test_a_missing_string_is_an_empty_one(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.identity(tmp_path / "s.onnx", "BYTES", ("n",))
    (out,) = probe.onnx(path).run(np.array([None, b"", b"a"], dtype=object))
    assert out.tolist() == [b"", b"", b"a"]


def test_string_operators_see_whole_strings(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.save(
        tmp_path / "labels.onnx",
        [
            helper.make_node(
                "LabelEncoder",
                ["s"],
                ["i"],
                domain="ai.onnx.ml",
                keys_strings=["JFK", "LGA"],
                values_int64s=[1, 2],
                default_int64=-1,
            )
        ],
        [("s", "BYTES", ("n",))],
        [("i", "INT64", ("n",))],
        ml=True,
    )
    (out,) = probe.onnx(path).run(np.array([b"LGA", b"JFK", b"JFK\0", b"EWR"], dtype=object))
    assert out.tolist() == [2, 1, -1, -1]


def test_an_initializer_that_may_be_overridden_is_no_input(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.save(
        tmp_path / "optional.onnx",
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [("x", "FP32", ("n",)), ("factor", "FP32", (1,))],
        [("y", "FP32", ("n",))],
        {"factor": np.float32([3])},
    )
    model = probe.onnx(path)
    assert [i.name for i in model.inputs] == ["x"]
    assert model.run(np.float32([1, 2]))[0].tolist() == [3, 6]


def test_external_weights_beside_the_model_are_found(probe: Probe, tmp_path: Path) -> None:
    import onnx

    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    x = np.ones((2, 32), np.float32)
    expected = probe.onnx(path).run(x)[0]
    model = onnx.load(str(path))
    outside = tmp_path / "outside"
    outside.mkdir()
    onnx.save(model, str(outside / "m.onnx"), save_as_external_data=True, location="m.bin", size_threshold=0)
    assert_same_bits(probe.onnx(outside / "m.onnx").run(x)[0], expected)


def test_a_map_output_is_refused_with_the_way_to_export_without(probe: Probe, tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    classifier = LogisticRegression().fit(x, x[:, 0] > 0)
    path = tmp_path / "zipmap.onnx"
    path.write_bytes(to_onnx(classifier, x[:1]).SerializeToString())
    with pytest.raises(Failure, match=r"output 'output_probability' is a sequence.*zipmap") as refused:
        probe.onnx(path)
    assert refused.value.code == INVALID_ARGUMENT
    path.write_bytes(to_onnx(classifier, x[:1], options={"zipmap": False}).SerializeToString())
    label, probabilities = probe.onnx(path).run(x)
    theirs = reference(path, X=x)
    assert_same_bits(label, theirs[0])
    assert_same_bits(probabilities, theirs[1])


def test_an_element_type_outside_the_protocol_is_refused(probe: Probe, tmp_path: Path) -> None:
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT8E4M3FN, ["n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    path = tmp_path / "float8.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(Failure, match="output 'y' holds elements of ONNX type number 17"):
        probe.onnx(path)


@pytest.mark.parametrize("damage", ["empty", "noise", "cut", "text", "wrong operator"])
def test_a_corrupt_file_is_refused_in_one_line(probe: Probe, tmp_path: Path, damage: str) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "noise": np.random.default_rng(1).bytes(5000),
            "cut": whole[: len(whole) // 2],
            "text": b"tree\nversion=v4\n",
            "wrong operator": whole.replace(b"Relu", b"Rxlu"),
        }[damage]
    )
    with pytest.raises(Failure, match="ONNX Runtime refuses the model") as refused:
        probe.onnx(path)
    assert refused.value.code == INVALID_ARGUMENT
    assert "\n" not in str(refused.value)


def test_cutting_or_flipping_any_part_of_a_model_never_ends_the_process(tmp_path: Path) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx", (3, 4, 1))
    code = f"""
import executor_probe, native_probe, numpy as np, pathlib
whole = pathlib.Path({str(path)!r}).read_bytes()
probe = executor_probe.Probe(native_probe.built("executor"))
target = pathlib.Path({str(tmp_path)!r}) / "damaged.onnx"
rng = np.random.default_rng(5)
refused = 0
for trial in range(300):
    text = bytearray(whole)
    if trial % 3 == 0:
        text = text[: rng.integers(len(text))]
    else:
        for at in rng.integers(len(text), size=1 + trial % 4):
            text[at] = rng.integers(256)
    target.write_bytes(bytes(text))
    try:
        model = probe.onnx(target)
        model.run(np.ones((2, 3), np.float32))
        model.free()
    except executor_probe.Failure as failure:
        refused += 1
print("refused", refused)
"""
    done = executor_probe.child(code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 100


def test_a_missing_file_is_not_found(probe: Probe, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file") as refused:
        probe.onnx(tmp_path / "absent.onnx")
    assert refused.value.code == NOT_FOUND


def test_a_missing_or_foreign_library_is_a_failed_precondition(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    for library, words in (
        (tmp_path / "libonnxruntime.so.0", "cannot load the model library"),
        (executor_probe.lightgbm_library(), "has no function OrtGetApiBase"),
    ):
        with pytest.raises(Failure, match=words) as refused:
            probe.onnx(path, library=library)
        assert refused.value.code == FAILED_PRECONDITION


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_is_not_there_is_refused_or_passed_over(
    probe: Probe, tmp_path: Path, provider: str
) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    if provider_names := set(onnxruntime.get_available_providers()) & {
        "CUDAExecutionProvider",
        "TensorrtExecutionProvider",
    }:
        pytest.skip(f"this onnxruntime has {provider_names}")
    with pytest.raises(
        Failure,
        match=rf"'{provider}' is not in this ONNX Runtime .*CPUExecutionProvider.*install onnxruntime-gpu",
    ) as refused:
        probe.onnx(path, providers=(provider, "cpu"))
    assert refused.value.code == FAILED_PRECONDITION
    model = probe.onnx(path, providers=(provider, "cpu"), fallback=True)
    assert model.description == f"ONNX Runtime {onnxruntime.__version__}, cpu (passed over: {provider})"
    assert model.run(np.zeros((1, 32), np.float32))[0].shape == (1, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"providers": ("rocm",)}, "'rocm' is not one of cpu, cuda, tensorrt"),
        ({"providers": ()}, "no provider is named"),
        ({"providers": ("cpu", "cuda")}, "put cpu last"),
        ({"providers": ("cuda", "cuda")}, "named twice"),
        ({"intra": 0}, "must be at least 1"),
        ({"inter": -1}, "must be at least 1"),
        ({"optimization": "most"}, "'most' is not one of none, basic, extended, all"),
    ],
)
def test_options_out_of_range_are_refused(
    probe: Probe, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(Failure, match=words) as refused:
        probe.onnx(onnx_models.mlp(tmp_path / "mlp.onnx"), **options)
    assert refused.value.code == INVALID_ARGUMENT


def test_a_run_that_fails_says_why_and_the_next_one_works(
    probe: Probe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = onnx_models.save(
        tmp_path / "gather.onnx",
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [("i", "INT64", ("n",))],
        [("y", "FP32", ("n",))],
        {"table": np.float32([10, 20, 30])},
    )
    session = probe.onnx(path).session()
    with pytest.raises(Failure, match="indices element out of data bounds") as failed:
        session.run(np.int64([1, 99]))
    assert failed.value.code in (INVALID_ARGUMENT, INTERNAL)
    assert "\n" not in str(failed.value)
    assert session.run(np.int64([2, 0]))[0].tolist() == [30, 10]
    session.close()
    written = capfd.readouterr()
    assert written.out == ""
    assert written.err == ""


def test_threads_share_a_model_and_agree_with_onnxruntime(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    model = probe.onnx(path)
    rng = np.random.default_rng(0)
    batches = [rng.normal(size=(rows, 32)).astype(np.float32) for rows in (1, 3, 16, 64) * 4]
    expected = [reference(path, x=x)[0].tobytes() for x in batches]

    def work(offset: int) -> int:
        session = model.session()
        right = 0
        for step in range(200):
            index = (offset + step) % len(batches)
            right += session.run(batches[index])[0].tobytes() == expected[index]
        session.close()
        return right

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [200] * 6


def test_the_arena_stops_growing_after_the_first_run(probe: Probe, many: Path) -> None:
    session = probe.onnx(many).session()
    a = np.ones((100, 2), np.float32)
    s = np.array([b"word"] * 100, dtype=object)
    session.run(a, a, s, repeats=2)
    held = session.arena_bytes
    session.run(a, a, s, repeats=100)
    assert session.arena_bytes == held
    session.close()


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_one_thread_means_no_pool_and_pools_sleep_while_idle(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    probe.onnx(path).run(np.zeros((64, 32), np.float32))
    before = threads_of_this_process()
    probe.onnx(path).run(np.zeros((64, 32), np.float32))
    assert threads_of_this_process() == before
    pooled = probe.onnx(path, intra=3)
    pooled.run(np.zeros((64, 32), np.float32))
    assert threads_of_this_process() == before + 2
    cpu = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - cpu < 0.1
    pooled.free()
    assert threads_of_this_process() == before


QUIET = """
import executor_probe, native_probe, pathlib, numpy as np
{before}
probe = executor_probe.Probe(native_probe.built("executor"))
model = probe.onnx(pathlib.Path({path!r}))
print(model.run(np.ones((1, 32), np.float32))[0].tobytes().hex())
{after}
"""


@pytest.mark.parametrize("python", ["absent", "before", "after"])
def test_it_lives_beside_pythons_onnxruntime_and_leaves_no_file(tmp_path: Path, python: str) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")
    home = tmp_path / "home"
    home.mkdir()
    theirs = (
        "import onnxruntime\n"
        f"s = onnxruntime.InferenceSession({str(path)!r}, providers=['CPUExecutionProvider'])\n"
        "print(s.run(None, {'x': np.ones((1, 32), np.float32)})[0].tobytes().hex())"
    )
    code = QUIET.format(
        path=str(path), before=theirs if python == "before" else "", after=theirs if python == "after" else ""
    )
    quiet = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    if python != "absent":
        quiet["ORT_DISABLE_TELEMETRY"] = "1"  # for the Python binding, which is not ours to silence
    done = executor_probe.child(code, **quiet)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(set(done.stdout.split())) == 1
    assert list(home.rglob("*")) == []


def test_a_thousand_sessions_would_fit_in_memory(probe: Probe, tmp_path: Path) -> None:
    path = onnx_models.mlp(tmp_path / "mlp.onnx")  # 25 KiB of weights
    x = np.zeros((64, 32), np.float32)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    warm = [probe.onnx(path) for _ in range(20)]
    for model in warm:
        model.run(x)
    before = resident()
    models = [probe.onnx(path) for _ in range(100)]
    for model in models:
        model.run(x)
    each = (resident() - before) / len(models)
    for model in warm + models:
        model.free()
    assert each < 512 * 1024
