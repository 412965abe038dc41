"""Keras on PyTorch: the loops written by hand."""
