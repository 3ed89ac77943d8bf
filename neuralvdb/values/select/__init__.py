"""What an encoder chooses by trying: lattice, family of networks, steps. Decoding needs none of it."""
