"""Arrays and frames as tritonclient's input tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype


def tensor(name: str, values: np.ndarray[Any, Any]) -> triton.InferInput:
    made = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    made.set_data_from_numpy(values)
    return made


def frame_inputs(frame: pd.DataFrame) -> list[triton.InferInput]:
    """One tensor a column; text as BYTES."""
    return [tensor(name, _column(frame[name])) for name in frame.columns]


def _column(series: pd.Series) -> np.ndarray[Any, Any]:
    if series.dtype == object or isinstance(series.dtype, pd.StringDtype):
        return np.array([text.encode() for text in series], dtype=object)
    return series.to_numpy()
