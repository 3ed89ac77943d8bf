from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


def classes(arg0: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)], arg2: Annotated[NDArray[numpy.int8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, arg3: Annotated[NDArray[numpy.int32], dict(shape=(None, 27), order='C', device='cpu', writable=False)], arg4: Annotated[NDArray[numpy.int32], dict(shape=(None,), order='C', device='cpu', writable=False)], arg5: Annotated[NDArray[numpy.int16], dict(shape=(None,), order='C', device='cpu', writable=False)], arg6: Annotated[NDArray[numpy.int8], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg7: Annotated[NDArray[numpy.int8], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg8: Annotated[NDArray[numpy.int8], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg9: Sequence[int], arg10: tuple, arg11: int, arg12: Annotated[NDArray[numpy.uint8], dict(shape=(None, 2), order='C', device='cpu')], /) -> None: ...

def find(arg0: Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], /) -> Annotated[NDArray[numpy.int64], dict(shape=(None,))]: ...
