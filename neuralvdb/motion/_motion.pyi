from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def move(arg0: tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.int32], dict(shape=(None, 512, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)]], arg1: Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg2: tuple[int, int, int], arg3: tuple[bool, bool], arg4: Sequence[tuple[Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.int32], dict(shape=(None, 512, None), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)]]], arg5: int, arg6: Annotated[NDArray[numpy.int32], dict(shape=(None, 512, None), order='C', device='cpu')], /) -> None: ...
