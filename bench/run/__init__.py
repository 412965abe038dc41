"""One run: a supervisor asks, a worker process of its own trains and measures, a record is written.

The parent's side: ``supervisor`` (one run from request to record), ``attempt`` (one process of it), ``processes`` (a
worker started fresh or forked from a template, waited for and ended), ``keeping`` (the keeper above each, through which
it is ended), ``outcome`` (how a process that ended is judged), ``noise`` (what else the machine did meanwhile),
``progress``.
Between them stands ``keeper``, the small process that leaves nothing of a worker behind, whatever ends the parent.
The worker's side, which imports the standard library, NumPy and one framework only: ``bootstrap`` and ``template``
(the two ways to come to life), ``worker`` (request in, outcome out), ``measure`` (the timed window and the phases),
``caching`` (cold or warm), ``memory`` (the memory pass), ``environment``, and how a failure speaks: ``oom``, ``room``,
``lost``, ``disk``.
The two sides share files and plain values, never objects.
"""
