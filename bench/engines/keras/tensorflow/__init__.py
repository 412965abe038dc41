"""Keras on TensorFlow: the loops written by hand."""
