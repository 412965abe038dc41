"""One sweep from its first folder to its report, in one call or in several.

``conducting`` runs it, ``job`` is one of its runs, ``resuming`` goes on with one, ``leaving`` ends one early,
``rounds`` decides after each round whether there is another, ``show`` prints plans and single runs.
"""

from bench.sweep.conducting import Launch, Resumption, conduct, resume
from bench.sweep.job import run_job
from bench.sweep.leaving import Left
from bench.sweep.show import show_plan, show_run, silence_output

__all__ = ["Launch", "Left", "Resumption", "conduct", "resume", "run_job", "show_plan", "show_run", "silence_output"]
