"""The folder under ``results/``: where everything lies, how it is written so that nothing is lost, how it is read.

``benchmarks`` reads pytest-benchmark's files and makes such a folder of them.
"""
