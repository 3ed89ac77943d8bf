"""What an encoder finds out by trying: networks, mode, steps, and whether any of it pays. Decoding needs none of it."""
