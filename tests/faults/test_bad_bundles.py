"""Bundles gone bad in the repository: that version is refused, one line says why, the rest serves on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tritonclient.grpc as triton
from triton_tensors import frame_inputs
from tritonclient.utils import InferenceServerException

import penstock
from penstock.errors import BundleError, GoldenError
from sample_bundles import Samples, flights
from server_process import ServerProcess, StartServer


def rewrite(folder: Path, file: str, content: bytes) -> None:
    """Puts other content into a file and makes the manifest agree: what is wrong is inside."""
    (folder / file).write_bytes(content)

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][file] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    edit_manifest(folder, change)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "bundle.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_text(json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def model_file(folder: Path) -> str:
    return str(json.loads((folder / "bundle.json").read_bytes())["model"]["file"])


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def damage_model(how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = model_file(folder)
        rewrite(folder, file, how((folder / file).read_bytes()))

    return damage


def swap_bytes(folder: Path) -> None:
    file = folder / model_file(folder)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def damage_transforms(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        document = json.loads((folder / "transforms.json").read_bytes())
        rewrite(folder, "transforms.json", json.dumps(change(document)).encode())

    return damage


def unknown_kind(document: Any) -> Any:
    return json.loads(json.dumps(document).replace('"one_hot"', '"no_such"'))


def without_transform_arrays(folder: Path) -> None:
    rewrite(folder, "transforms.safetensors", b"\x02\0\0\0\0\0\0\0{}")


def other_golden(folder: Path) -> None:
    """The examples of this version, and the answers of another model."""
    arrays = safetensors.numpy.load((folder / "golden.safetensors").read_bytes())
    name = next(name for name in arrays if "prediction" in name)
    arrays[name] = np.array(arrays[name])
    arrays[name][3] += 0.25
    rewrite(folder, "golden.safetensors", safetensors.numpy.save(arrays))


def replace_manifest(become: Callable[[Path], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / "bundle.json").rename(folder.parent / "aside.json")
        become(folder / "bundle.json")

    return damage


@dataclass(frozen=True)
class Fault:
    name: str
    model: str
    damage: Callable[[Path], None]
    fragments: tuple[str, ...]  # of the reason, in lower case


FAULTS = [
    Fault("an ONNX file cut short", "network", damage_model(cut), ("model.onnx",)),
    Fault("an ONNX file of noise", "network", damage_model(lambda _: bytes(range(256)) * 8), ("model.onnx",)),
    Fault("an empty ONNX file", "network", damage_model(lambda _: b""), ("model.onnx",)),
    Fault("LightGBM text cut short", "matrix", damage_model(cut), ("model.txt",)),
    Fault("LightGBM text of noise", "matrix", damage_model(lambda _: b"tree\nwhat=ever\n\n"), ("model.txt",)),
    Fault(
        "LightGBM text with a damaged number",
        "matrix",
        damage_model(lambda text: text.replace(b"threshold=", b"threshold=abc ", 1)),
        ("model.txt",),
    ),
    Fault(
        "LightGBM text whose tree points outside",
        "matrix",
        damage_model(lambda text: text.replace(b"left_child=", b"left_child=99999 ", 1)),
        ("model.txt",),
    ),
    Fault(
        "a missing file",
        "network",
        lambda folder: (folder / "model.onnx").unlink(),
        ("model.onnx", "missing"),
    ),
    Fault("a wrong digest", "network", swap_bytes, ("model.onnx", "sha-256")),
    Fault(
        "a file of another size",
        "network",
        lambda folder: (folder / "model.onnx").write_bytes(b"short"),
        ("model.onnx", "bytes"),
    ),
    Fault(
        "a later format",
        "network",
        lambda folder: edit_manifest(folder, lambda manifest: manifest.update(format=99)),
        ("later penstock", "format 99", "up to 1"),
    ),
    Fault(
        "a manifest that is no JSON",
        "network",
        lambda folder: (folder / "bundle.json").write_text("{ not json"),
        ("bundle.json", "json"),
    ),
    Fault(
        "a manifest without its files",
        "network",
        lambda folder: edit_manifest(folder, lambda manifest: manifest.pop("files")),
        ("bundle.json", "files"),
    ),
    Fault(
        "a manifest that is a FIFO",
        "network",
        replace_manifest(os.mkfifo),
        ("bundle.json is a fifo; expected a regular file",),
    ),
    Fault(
        "a manifest that is a link",
        "network",
        replace_manifest(lambda path: path.symlink_to("../aside.json")),
        ("bundle.json is a link; expected a regular file",),
    ),
    Fault(
        "a manifest that is a folder",
        "network",
        replace_manifest(Path.mkdir),
        ("bundle.json is a folder; expected a regular file",),
    ),
    Fault(
        "a manifest of 100 MB",
        "network",
        replace_manifest(lambda path: (path.touch(), os.truncate(path, 100_000_000))),
        ("bundle.json has more than the 1048576 bytes",),
    ),
    Fault(
        "a model file outside of the bundle",
        "network",
        lambda folder: edit_manifest(
            folder, lambda manifest: manifest["files"].update({"../secret": manifest["files"]["model.onnx"]})
        ),
        ("../secret",),
    ),
    Fault(
        "a link instead of a file",
        "network",
        lambda folder: (
            (folder / "model.onnx").rename(folder.parent / "elsewhere"),
            (folder / "model.onnx").symlink_to("../elsewhere"),
        )[0],
        ("model.onnx", "link"),
    ),
    Fault(
        "another model's bundle",
        "network",
        lambda folder: edit_manifest(folder, lambda manifest: manifest.update(name="other")),
        ("other/1", "network/1"),
    ),
    Fault(
        "an input that the model has not",
        "network",
        lambda folder: edit_manifest(folder, lambda manifest: manifest["inputs"][0].update(name="z")),
        ("inputs z fp32", "the model has x fp32"),
    ),
    Fault("transforms of an unknown kind", "delay", damage_transforms(unknown_kind), ("no_such",)),
    Fault("transforms that are no object", "delay", damage_transforms(lambda _: [1, 2, 3]), ("transform",)),
    Fault("transforms that are null", "delay", damage_transforms(lambda _: None), ("transform",)),
    Fault("transforms without their arrays", "delay", without_transform_arrays, ("transform",)),
    Fault(
        "transforms' arrays of noise",
        "delay",
        lambda folder: rewrite(folder, "transforms.safetensors", bytes(range(200))),
        ("transforms.safetensors",),
    ),
    Fault(
        "answers that are not the recorded ones", "delay", other_golden, ("golden", "example 3", "prediction")
    ),
]


@pytest.fixture(scope="module")
def broken(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server on a repository of two good models and every fault, each as a model of its own."""
    folder = tmp_path_factory.mktemp("broken")
    repository = folder / "repository"
    for name in ("network", "delay"):
        shutil.copytree(samples.path / name, repository / name)
    for index, fault in enumerate(FAULTS):
        place = repository / f"bad{index}" / "1"
        shutil.copytree(samples.path / fault.model / "1", place)
        edit_manifest(place, lambda manifest, index=index: manifest.update(name=f"bad{index}"))
        fault.damage(place)
    with ServerProcess(repository, settings={"models.delay": {"policy": "all"}}, folder=folder) as server:
        yield server


@pytest.mark.parametrize("index", range(len(FAULTS)), ids=[fault.name for fault in FAULTS])
def test_a_bad_version_is_refused_with_one_line_that_says_why(broken: ServerProcess, index: int) -> None:
    fault = FAULTS[index]
    name = f"bad{index}"
    broken.wait_for(f"{name}:1 refused: ")
    lines = [line for line in broken.lines if f"{name}:1 " in line or f"{name}/1" in line]

    assert len(lines) == 1, broken.output
    assert lines[0].startswith(f"{name}:1 refused: ")
    for fragment in fault.fragments:
        assert fragment.replace("network/1", f"{name}/1") in lines[0].lower()
    with triton.InferenceServerClient(broken.address) as client:
        (seen,) = [model for model in client.get_model_repository_index().models if model.name == name]
        assert seen.state == "UNAVAILABLE"
        assert seen.reason
        assert seen.reason in lines[0]
        assert not client.is_model_ready(name)
        with pytest.raises(InferenceServerException) as refused:
            client.infer(name, frame_inputs(flights(1)))
    assert refused.value.status() == "StatusCode.UNAVAILABLE"
    assert seen.reason[:100] in refused.value.message()


def test_the_good_ones_serve_beside_the_bad(broken: ServerProcess) -> None:
    with triton.InferenceServerClient(broken.address) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("network")
        answer = client.infer("delay", frame_inputs(flights(3)))
        ready = {
            (model.name, model.version)
            for model in client.get_model_repository_index().models
            if model.state == "READY"
        }

    assert answer.as_numpy("prediction").shape == (3,)
    assert ready == {("network", "1"), ("delay", "1"), ("delay", "2")}


def test_a_failed_load_leaves_what_served_serving(
    start_server: StartServer, samples: Samples, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(samples.path / "delay", repository / "delay")
    server = start_server(repository, "--allow-load-unload", settings={"models.delay": {"policy": "all"}})
    with triton.InferenceServerClient(server.address) as client:
        before = client.infer("delay", frame_inputs(flights(5)), model_version="2").as_numpy("prediction")
        damage_model(cut)(repository / "delay" / "2")
        with pytest.raises(InferenceServerException, match=r"model\.txt") as refused:
            client.load_model("delay")
        after = client.infer("delay", frame_inputs(flights(5)), model_version="2").as_numpy("prediction")
        # Mended, it loads.
        shutil.copytree(samples.path / "delay" / "2", repository / "delay" / "2", dirs_exist_ok=True)
        client.load_model("delay")

    assert refused.value.status() in ("StatusCode.INVALID_ARGUMENT", "StatusCode.FAILED_PRECONDITION")
    assert after.tobytes() == before.tobytes()
    server.wait_for("what served goes on serving")


def test_a_watched_repository_picks_up_a_version_when_it_is_complete_and_refuses_a_bad_one(
    start_server: StartServer, samples: Samples, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(samples.path / "network", repository / "network")
    server = start_server(repository, "--watch", settings={"repository": {"watch_interval_s": 0.1}})
    bad = repository / "matrix" / "1"
    shutil.copytree(samples.path / "matrix" / "1", bad, ignore=shutil.ignore_patterns("bundle.json"))
    (bad / "model.txt").write_bytes(cut((bad / "model.txt").read_bytes()))
    shutil.copy(samples.path / "matrix" / "1" / "bundle.json", bad / "bundle.json")
    shutil.copytree(samples.path / "delay" / "2", repository / "delay" / "2")

    server.wait_for("delay:2 ready")
    with triton.InferenceServerClient(server.address) as client:
        assert client.is_model_ready("delay")
        states = {model.name: model.state for model in client.get_model_repository_index().models}
    assert states["network"] == states["delay"] == "READY"
    assert states.get("matrix", "UNAVAILABLE") != "READY"


def test_the_errors_of_a_bad_bundle_are_the_same_in_process(samples: Samples, tmp_path: Path) -> None:
    place = tmp_path / "delay" / "1"
    shutil.copytree(samples.path / "delay" / "1", place)
    other_golden(place)
    with pytest.raises(GoldenError, match="example 3"):
        penstock.load(place)
    swap_bytes(place)
    with pytest.raises(BundleError, match="SHA-256"):
        penstock.load(place)
