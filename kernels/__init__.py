"""Operations with a definition and a GPU implementation; installed as neuralvdb.kernels.

One folder per operation. Nothing here imports the rest of neuralvdb. Letters in shapes, everywhere: R bricks of 8x8x8
points (x slowest), the first B of them to be worked on, n points, S segments, D streams. All arrays are torch tensors
on one device. Results are written there; only where a docstring says so does the host wait for the device. bricks.py
has the types that operations share. compand.py and zigzag.py work element by element, in plain torch.
"""
