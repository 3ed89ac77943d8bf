"""Arrays for calls of compiled modules, and what refuses such calls."""

import numpy as np

REFUSED = (ValueError, TypeError)


def u8(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def zeros(dtype: str, *shape: int) -> np.ndarray:
    return np.zeros(shape, dtype)
