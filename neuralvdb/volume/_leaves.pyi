from typing import Annotated, overload

import numpy
from numpy.typing import NDArray


@overload
def ends(arg0: Annotated[NDArray[numpy.float32], dict(shape=(None, 512, None), device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)], arg2: float, arg3: int, /) -> tuple[float, float, int]: ...

@overload
def ends(arg0: Annotated[NDArray[numpy.float64], dict(shape=(None, 512, None), device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)], arg2: float, arg3: int, /) -> tuple[float, float, int]: ...

@overload
def value_errors(arg0: Annotated[NDArray[numpy.float32], dict(shape=(None, 512), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.float32], dict(shape=(None, 512), order='C', device='cpu', writable=False)], arg2: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)], arg3: int, /) -> tuple[float, float]: ...

@overload
def value_errors(arg0: Annotated[NDArray[numpy.float64], dict(shape=(None, 512), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.float64], dict(shape=(None, 512), order='C', device='cpu', writable=False)], arg2: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)], arg3: int, /) -> tuple[float, float]: ...

@overload
def add_rays(arg0: Annotated[NDArray[numpy.float32], dict(shape=(None, 512), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)], arg2: tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float32], dict(shape=(None, 512), order='C', device='cpu', writable=False)]] | None, arg3: tuple[tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None, 8, 8), order='C', device='cpu')]], tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None, 8, 8), order='C', device='cpu')]], tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None, 8, 8), order='C', device='cpu')]]], arg4: int, /) -> None: ...

@overload
def add_rays(arg0: Annotated[NDArray[numpy.float64], dict(shape=(None, 512), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)], arg2: tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None, 512), order='C', device='cpu', writable=False)]] | None, arg3: tuple[tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None, 8, 8), order='C', device='cpu')]], tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None, 8, 8), order='C', device='cpu')]], tuple[Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], Annotated[NDArray[numpy.float64], dict(shape=(None, 8, 8), order='C', device='cpu')]]], arg4: int, /) -> None: ...
