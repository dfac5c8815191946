from typing import Any

import numpy as np

LONGEST_IN_ENTRY: int

def fill_table(
    entries: np.ndarray[Any, np.dtype[np.uint64]], values: list[bytes] | list[int], text_size: int
) -> None: ...
