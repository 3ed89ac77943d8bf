"""Training of predictors (PyTorch) and fitting them to what they code (NumPy); needed by encoders only."""
