"""The network in Keras 3: one module for each loop, and what they share. TensorFlow, JAX and PyTorch are backends."""
