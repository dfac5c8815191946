"""Sound states for the kernels of text and of dates."""

from __future__ import annotations

import numpy as np
from kernel_cases import KernelCase

from penstock import transforms as t
from penstock.transforms.steps import Step


def case_of(transform: t.Transform, datatype: str = "BYTES") -> KernelCase:
    """The call of a fitted transform of one column."""
    (step,) = transform.steps({"x": datatype})
    assert isinstance(step, Step)
    return KernelCase(
        [datatype], [len(block.names) for block in step.outputs], list(step.state), scratch=step.scratch_bytes
    )


def fitted(transform: t.Transform) -> t.Transform:
    transform.fit({"x": ["AA x", None, "Zürich", "UA UA"]}, {"x": "BYTES"}, None)
    return transform


def fitted_to_dates() -> t.Transform:
    transform = t.DateParts("x", unit="ms", time_zone="Europe/Zurich")
    transform.fit({"x": np.array([0.0])}, {"x": "FP64"}, None)
    return transform


KERNELS: dict[str, KernelCase] = {
    "text_hash": case_of(
        fitted(t.TextHash("x", 5, ngram_range=(1, 2), strip_accents="unicode", stop_words=["ua"]))
    ),
    "tf_idf": case_of(fitted(t.TfIdf("x", analyzer="char_wb", ngram_range=(2, 3), strip_accents="unicode"))),
    "date_parts": case_of(fitted_to_dates(), "FP64"),
}
