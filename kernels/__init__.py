"""Operations with a definition and a GPU implementation; installed as neuralvdb.kernels.

One folder per operation. Nothing here imports the rest of neuralvdb. Letters in shapes, everywhere: R rows (bricks of
8x8x8 points, x slowest), B of them to be worked on, n points, S segments, D streams. All arrays are torch tensors on
one device; results are written there, and nothing waits for the device but what says so. compand.py and fold.py are
element by element and plain torch.
"""
