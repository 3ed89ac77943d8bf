"""What the codecs make of this processor."""

from neuralvdb.values import products as products
