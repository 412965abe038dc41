"""The network in PyTorch: one module for each loop, and what they share."""
