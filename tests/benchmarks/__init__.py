"""Benchmarks of the harness itself; each prints the figures that documents may quote."""
