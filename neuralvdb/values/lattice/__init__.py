"""The lattices: levels of points, what a predictor sees of them, networks, residuals. NumPy is the definition."""
