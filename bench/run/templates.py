"""The templates this process keeps alive, one per interpreter, framework, backend and environment."""

from __future__ import annotations

import atexit
from collections.abc import Mapping

from bench.cell import Cell
from bench.errors import Unavailable
from bench.run.processes import Template

MOST_TEMPLATES = 4
"""Templates kept alive at a time; each holds a framework's imports in memory."""

Key = tuple[str | None, str, str | None, tuple[tuple[str, str], ...]]


class TemplatePool:
    """Starts templates when first asked for, and remembers which frameworks cannot be imported."""

    def __init__(self) -> None:
        self._living: dict[Key, Template] = {}
        self._unavailable: dict[Key, Unavailable] = {}

    def get(self, cell: Cell, environment: Mapping[str, str], variables: Mapping[str, str]) -> Template:
        """The template for a cell; ``variables`` are the part of ``environment`` that tells templates apart.

        Raises:
            Unavailable: the framework cannot be imported, or not in the time of a run; said at once from the second
                time on.
            TemplateEnded: somebody killed it as it imported.
        """
        key = (cell.python, cell.framework, cell.backend, tuple(sorted(variables.items())))
        if key in self._unavailable:
            raise self._unavailable[key]
        if key not in self._living or not self._living[key].usable:
            self._living[key] = self._start(key, environment, cell.protocol.timeout_s)
        return self._living[key]

    def close(self) -> None:
        """Ends every template."""
        while self._living:
            _, template = self._living.popitem()
            template.close()
        self._unavailable.clear()

    def _start(self, key: Key, environment: Mapping[str, str], limit_s: float) -> Template:
        self._make_room()
        python, framework, backend, _ = key
        try:
            return Template(python, framework, backend, environment, limit_s)
        except Unavailable as error:
            self._unavailable[key] = error
            raise

    def _make_room(self) -> None:
        for key, template in list(self._living.items()):
            if not template.usable or len(self._living) >= MOST_TEMPLATES:
                del self._living[key]
                template.close()


templates = TemplatePool()
"""The pool of this process; launchers that run jobs in processes of their own have one in each."""

atexit.register(templates.close)
