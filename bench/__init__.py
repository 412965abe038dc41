"""Batch-size sweeps of one two-layer network, trained identically in every framework.

The house, read from the bottom up (imports only ever point down this list; a linter contract holds it):

``errors``    the few exception classes, each message saying the thing, the rule and the next step
``cell``      what is asked: one frozen point of the grid and its identity
``records``   what was seen: plain records with units in their names, and the history of their format
``workload``  data, network, optimizer arithmetic and epoch orders, in NumPy alone
``config``    the validated dataclasses that Hydra fills
``engines``   framework x loop x device: the only rooms that import a framework
``plan``      grid to cells, rounds, what cannot run here and why
``store``     the folder under ``results/``: atomic records, the journal, their reader
``run``       supervisor, templates and workers: every run in a process of its own
``analysis``  tidy tables, intervals, convergence and the verdict
``report``    figures, ``report.html`` and ``report.md``
``sweep``     one sweep from its first folder to its report
``app``       the Hydra application
``cli``       the verbs a person types
"""

__version__ = "0.1.0"
