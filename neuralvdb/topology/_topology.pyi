from collections.abc import Sequence
from typing import Annotated

import numpy
from numpy.typing import NDArray


class Networks:
    def __init__(self, arg: Sequence[tuple], /) -> None: ...

class Bricks:
    def __init__(self, arg0: Annotated[NDArray[numpy.int32], dict(shape=(None, 27), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], arg2: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)] | None, arg3: bool, /) -> None: ...

class Payload:
    def __init__(self, arg0: Annotated[NDArray[numpy.uint32], dict(shape=(None, None), order='C', device='cpu')], arg1: Annotated[NDArray[numpy.uint8], dict(shape=(None,), order='C', device='cpu', writable=False)], arg2: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')], arg3: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], arg4: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu')], /) -> None: ...

def decode_mask(arg0: Networks, arg1: Sequence[int], arg2: Bricks, arg3: Annotated[NDArray[numpy.uint32], dict(shape=(None, None), order='C', device='cpu', writable=False)], arg4: Payload, arg5: int, /) -> tuple[Annotated[NDArray[numpy.uint8], dict(shape=(None, None))], int]: ...

def encode_mask(arg0: Networks, arg1: Sequence[int], arg2: Bricks, arg3: Annotated[NDArray[numpy.uint8], dict(shape=(None, 64), order='C', device='cpu', writable=False)], arg4: int, /) -> tuple[Annotated[NDArray[numpy.uint8], dict(shape=(None,))], Annotated[NDArray[numpy.uint8], dict(shape=(None,))], Annotated[NDArray[numpy.int64], dict(shape=(None,))]]: ...

def find(arg0: Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], arg1: Annotated[NDArray[numpy.int32], dict(shape=(None, 3), order='C', device='cpu', writable=False)], /) -> Annotated[NDArray[numpy.int64], dict(shape=(None,))]: ...
