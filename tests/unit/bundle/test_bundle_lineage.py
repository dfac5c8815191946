from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from penstock.bundle.lineage import digest_frame, lineage_of
from penstock.errors import BundleError

COLUMNS: dict[str, list[Any]] = {
    "n": [1, 2, 3],
    "x": [0.5, None, -0.0],
    "s": ["a", None, "ü"],
    "b": [True, False, True],
}


def test_the_digest_is_the_same_from_every_library() -> None:
    digests = {digest_frame(make(COLUMNS)) for make in (dict, pd.DataFrame, pl.DataFrame, pa.table)}
    narrow = pd.DataFrame(COLUMNS).astype({"n": np.int8, "x": np.float32, "s": "category"})
    digests.add(digest_frame(narrow))
    digests.add(digest_frame(pd.DataFrame(COLUMNS).iloc[::-1].iloc[::-1]))
    assert len(digests) == 1


def test_times_count_by_their_value_not_their_unit() -> None:
    from datetime import datetime

    times = {"at": [datetime(2013, 1, 1, 5), None, datetime(1969, 7, 20)]}
    assert digest_frame(pd.DataFrame(times)) == digest_frame(pl.DataFrame(times))
    assert digest_frame(pd.DataFrame(times)) != digest_frame(
        pl.DataFrame({"at": times["at"][:2] + times["at"][:1]})
    )


def test_the_digest_is_the_form_that_is_documented() -> None:
    expected = struct.pack("<qq", 2, 2)
    expected += (
        struct.pack("<q", 1) + b"x" + b"n" + struct.pack("<d", 1.5) + bytes.fromhex("000000000000f87f")
    )
    expected += struct.pack("<q", 1) + b"s" + b"s" + struct.pack("<qq", 2, -1) + b"hi"
    assert digest_frame({"x": [1.5, None], "s": ["hi", None]}) == hashlib.sha256(expected).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        {**COLUMNS, "n": [1, 2, 4]},
        {**COLUMNS, "s": ["a", "", "ü"]},
        {**COLUMNS, "s": ["aü", None, ""]},
        {"m": COLUMNS["n"], "x": COLUMNS["x"], "s": COLUMNS["s"], "b": COLUMNS["b"]},
        {name: COLUMNS[name] for name in ("x", "n", "s", "b")},
        {name: values[:2] for name, values in COLUMNS.items()},
        {**COLUMNS, "more": [1, 1, 1]},
    ],
)
def test_any_change_of_values_names_or_order_changes_the_digest(changed: dict[str, list[Any]]) -> None:
    assert digest_frame(changed) != digest_frame(COLUMNS)


def test_what_is_not_told_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "somebody")
    lineage = lineage_of(None, reference=COLUMNS, library="lightgbm")
    assert lineage.author == "somebody"
    assert lineage.code_revision is None
    assert lineage.training_data is not None
    assert (lineage.training_data.rows, lineage.training_data.digest) == (3, digest_frame(COLUMNS))
    assert set(lineage.environment.packages) == {"penstock", "numpy", "lightgbm"}
    assert lineage_of(None, reference=None, library="onnx").training_data is None


def test_the_code_revision_is_gits_and_says_when_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *identity, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    Path("file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    git("tag", "v1")
    commit = git("rev-parse", "HEAD")
    assert lineage_of(None, reference=None, library="onnx").code_revision == commit
    Path("file").write_text("2")
    assert lineage_of(None, reference=None, library="onnx").code_revision == f"{commit}-dirty"


def test_what_is_told_stands_and_the_rest_goes_to_extra() -> None:
    lineage = lineage_of(
        {
            "training_data": {"digest": "0" * 64, "rows": 9},
            "parameters": {"num_leaves": np.int64(31), "rates": np.array([0.5])},
            "metrics": {"auc": 0.75},
            "code_revision": "r1",
            "author": "me",
            "ticket": "A-1",
            "extra": {"note": "x"},
        },
        reference=COLUMNS,
        library="lightgbm",
    )
    assert lineage.training_data is not None
    assert lineage.training_data.rows == 9
    assert lineage.parameters == {"num_leaves": 31, "rates": [0.5]}
    assert (lineage.author, lineage.code_revision, lineage.metrics) == ("me", "r1", {"auc": 0.75})
    assert lineage.extra == {"note": "x", "ticket": "A-1"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"metrics": {"auc": float("nan")}}, "must be JSON"),
        ({"parameters": {"model": object()}}, "of type object is not"),
        ({"metrics": 3}, "metrics: Input should be a valid dictionary"),
        ({"training_data": {"digest": "short", "rows": 3}}, "training_data.digest"),
    ],
)
def test_a_lineage_that_cannot_be_written_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        lineage_of(given, reference=None, library="onnx")


def test_extra_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(BundleError, match="lineage: extra is 3; expected a mapping"):
        lineage_of({"extra": 3}, reference=None, library="onnx")
