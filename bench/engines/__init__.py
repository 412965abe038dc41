"""Framework x loop x device: the only rooms that import a framework.

``base`` is what every engine promises, ``catalogue`` knows them all without importing any, ``reference`` is the NumPy
oracle; ``pytorch`` and ``keras`` have a module for each loop (``keras`` in a folder for each backend, where a backend
has loops of its own), and the same file names otherwise (``device``, ``model``, ``memory``, ``variables``,
``environment``).
"""
