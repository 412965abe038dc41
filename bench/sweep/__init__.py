"""One sweep from its first folder to its report.

``conduct`` runs it, ``rounds`` decides after each round whether there is another, ``show`` prints plans and single
runs.
"""

from bench.sweep.conducting import TERMINATED, conduct, run_job
from bench.sweep.show import show_plan, show_run, silence_output

__all__ = ["TERMINATED", "conduct", "run_job", "show_plan", "show_run", "silence_output"]
