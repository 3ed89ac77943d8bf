"""Operations with a definition, a CPU and a GPU implementation; installed as neuralvdb.kernels.

One folder per operation. Nothing here imports the rest of neuralvdb.
"""
