"""Keras on JAX: the loops written by hand."""
