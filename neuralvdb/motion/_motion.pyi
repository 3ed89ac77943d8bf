from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def move(arg0: tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray, dict(shape=(None, 512, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]], arg1: Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg2: tuple[int, int, int], arg3: tuple[bool, bool], arg4: tuple[float, float], arg5: Sequence[tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray, dict(shape=(None, 512, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]]], arg6: tuple[tuple[int, int, int], Annotated[NDArray[numpy.int8], dict(shape=(None, None, None, 3), order='C', device='cpu', writable=False)]], arg7: int, arg8: Annotated[NDArray[numpy.int32], dict(shape=(None, 512, None), order='C', device='cpu')], /) -> None: ...

def search(arg0: tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray, dict(shape=(None, 512, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]], arg1: tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.int32], dict(shape=(None, 512), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.uint8], dict(shape=(None, 512), order='C', device='cpu', writable=False)]], arg2: int, arg3: tuple[int, int, int], arg4: float, arg5: tuple[int, int, int], arg6: Annotated[NDArray[numpy.int8], dict(shape=(None, None, None, 3), order='C', device='cpu')], /) -> None: ...
