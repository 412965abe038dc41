"""The folder under ``results/``: where everything lies, how it is written so that nothing is lost, how it is read.

``writer`` writes a record once, aside and renamed, with its checksum (``sealing``); ``reader`` and ``trace_reader``
compare it, and lift the records of earlier versions (``migration``). ``journal`` holds what happened, ``claim`` keeps a
second sweep out. After a crash ``leftovers`` clears up, and ``aside`` keeps the record of a run that is made again.

``benchmarks`` reads pytest-benchmark's files and makes such a folder of them.
"""
