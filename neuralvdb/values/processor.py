"""How this processor computes what predicts values: the same numbers on all of them."""

from neuralvdb.values import _lattice

_NAMES = {
    "pairs": "products of 16 bits",
    "avx2": "products of 8 bits (AVX2)",
    "vnni": "products of 8 bits (AVX-512, VNNI)",
}


def products() -> str:
    """The products that networks are computed in, in words."""
    return _NAMES[_lattice.products()]
