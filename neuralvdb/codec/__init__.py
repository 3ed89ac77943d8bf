"""The pipeline: grids to sections (encode) and back (decode)."""
