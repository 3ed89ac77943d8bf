from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def move(arg0: tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray, dict(shape=(None, 512, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]], arg1: Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg2: tuple[int, int, int], arg3: tuple[bool, bool], arg4: tuple[float, float], arg5: Sequence[tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray, dict(shape=(None, 512, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]]], arg6: int, arg7: Annotated[NDArray[numpy.int32], dict(shape=(None, 512, None), order='C', device='cpu')], /) -> None: ...
