"""Lossy values coded on a GPU by neuralvdb.kernels: all chunks of a batch at once. Needs torch and triton."""
