from __future__ import annotations

import json
from typing import Any

import pytest
from bundle_folders import manifest_fields
from hypothesis import given
from hypothesis import strategies as st

from penstock.bundle.manifest import Manifest, check_name, digest_of, parse_manifest
from penstock.errors import BundleError

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NUMBERS = st.sampled_from(["BOOL", "INT64", "UINT8", "FP16", "FP32", "FP64", "BF16"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
TENSOR = st.fixed_dictionaries(
    {"datatype": NUMBERS | st.just("BYTES"), "shape": st.lists(st.integers(-1, 2**40), max_size=4)}
)


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    def tensors() -> list[dict[str, Any]]:
        names = draw(st.lists(TEXT, min_size=1, max_size=4, unique=True))
        return [{"name": name, **draw(TENSOR)} for name in names]

    inputs = tensors()
    for tensor in inputs:
        tensor["empty_is_missing"] = tensor["datatype"] == "BYTES" and draw(st.booleans())
    return manifest_fields(
        name=draw(NAMES),
        version=draw(NAMES),
        inputs=inputs,
        outputs=tensors(),
        max_rows=draw(st.integers(0, 2**31)),
        scheduling={
            "execution": draw(st.none() | st.sampled_from(["auto", "inline", "pool"])),
            "merge": draw(st.none() | st.booleans()),
            "max_batch_rows": draw(st.none() | st.integers(1, 2**31 - 1)),
            "max_wait_us": draw(st.none() | st.floats(0, 1e7)),
        },
        lineage={
            "training_data": draw(st.none() | st.just({"digest": "0" * 64, "rows": 3})),
            "parameters": draw(st.dictionaries(TEXT, JSON, max_size=3)),
            "author": draw(st.none() | TEXT),
            "extra": draw(st.dictionaries(TEXT, JSON, max_size=3)),
            "environment": {"python": "3.11.2", "packages": {"numpy": "2.4.6"}},
        },
    )


@given(manifests())
def test_what_is_written_reads_back_the_same(fields: dict[str, Any]) -> None:
    written = Manifest.model_validate_json(json.dumps(fields)).to_bytes()
    read = parse_manifest(written)
    assert read.to_bytes() == written
    assert json.loads(written).keys() == fields.keys()
    assert read.inputs[0].name == fields["inputs"][0]["name"]


@given(manifests())
def test_the_canonical_form_does_not_depend_on_the_order_of_fields(fields: dict[str, Any]) -> None:
    turned = dict(reversed(fields.items()))
    one = Manifest.model_validate_json(json.dumps(fields)).to_bytes()
    other = Manifest.model_validate_json(json.dumps(turned)).to_bytes()
    assert digest_of(one) == digest_of(other)
    assert one.endswith(b"}\n")


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": 2}, "written by a later Penstock (format 2); this one reads up to 1"),
        ({"format": 0}, "format"),
        ({"format": True}, "format"),
        ({"format": "1"}, "format"),
        ({"name": "../delay"}, "name: expected 1 to 128"),
        ({"name": ".delay"}, "name: expected 1 to 128"),
        ({"name": "x" * 129}, "name: expected 1 to 128"),
        ({"version": ""}, "version: expected 1 to 128"),
        ({"version": "1\n"}, "version: expected 1 to 128"),
        ({"version": "1.partial"}, "unfinished"),
        ({"created": "yesterday"}, "created: expected a time in UTC"),
        ({"surprise": 1}, "surprise: no such field"),
        ({"model": {"kind": "torch", "file": "model.txt", "options": {}}}, "model"),
        (
            {"model": {"kind": "lightgbm", "file": "other.txt", "options": {}}},
            "'other.txt', which is not under files",
        ),
        (
            {"model": {"kind": "lightgbm", "file": "model.txt", "options": {"threads": 3}}},
            "threads: no such field",
        ),
        (
            {"model": {"kind": "lightgbm", "file": "model.txt", "options": {"num_iterations": "3"}}},
            "num_iterations: Input should be a valid integer (got '3')",
        ),
        (
            {"model": {"kind": "lightgbm", "file": "model.txt", "options": {"start_iteration": 2**31}}},
            "start_iteration: Input should be less than 2147483648",
        ),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "a", "datatype": "FP65", "shape": [-1]}]}, "FP65"),
        ({"inputs": [{"name": "a", "datatype": "FP64", "shape": [-2]}]}, "shape"),
        ({"inputs": [{"name": "a", "datatype": "FP64", "shape": [-1]}] * 2}, "names 'a' twice"),
        (
            {"inputs": [{"name": "a", "datatype": "FP64", "shape": [-1], "empty_is_missing": True}]},
            "empty_is_missing is for BYTES",
        ),
        ({"max_rows": -1}, "max_rows"),
        ({"max_rows": 1.0}, "max_rows"),
        ({"golden": None}, "'golden.safetensors', which nothing uses"),
        ({"files": {"model.txt": {"sha256": "0" * 64, "bytes": -1}}}, "bytes"),
        ({"files": {"model.txt": {"sha256": "zz", "bytes": 1}}}, "sha256"),
        (
            {"files": {"../model.txt": {"sha256": "0" * 64, "bytes": 1}}},
            "'../model.txt' is no plain file name",
        ),
        ({"files": {"/etc/passwd": {"sha256": "0" * 64, "bytes": 1}}}, "'/etc/passwd' is no plain file name"),
        ({"files": {"a/b": {"sha256": "0" * 64, "bytes": 1}}}, "'a/b' is no plain file name"),
        ({"files": {"..": {"sha256": "0" * 64, "bytes": 1}}}, "'..' is no plain file name"),
        ({"files": {"a\0": {"sha256": "0" * 64, "bytes": 1}}}, "is no plain file name"),
        ({"files": {"bundle.json": {"sha256": "0" * 64, "bytes": 1}}}, "'bundle.json' is no plain file name"),
    ],
)
def test_a_malformed_manifest_is_refused_and_the_field_named(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(manifest_fields(**changed)).encode())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", sorted(set(manifest_fields()) - {"format"}))
def test_a_missing_field_is_named(field: str) -> None:
    fields = manifest_fields()
    del fields[field]
    with pytest.raises(BundleError, match=f"{field}: Field required"):
        parse_manifest(json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b"[]", "holds a JSON list; expected an object"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"max_rows": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        parse_manifest(data)


@pytest.mark.parametrize("name", ["delay", "3", "2026-01-31", "A.b_c-9"])
def test_safe_names_are_taken(name: str) -> None:
    assert check_name(name, "model") == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", "-x", "a\0", "x.tmp"])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(BundleError, match="The model "):
        check_name(name, "model")
