"""Brings a worker, template or probe to life in any interpreter, by its path: ``python bootstrap.py ROLE ARGUMENTS``.

The interpreter may be another one than the harness's, so only this package is made importable, from where it lies,
and none of its neighbours: a framework's interpreter keeps its own packages and gets none of the harness's.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

ROLES = {"worker": "bench.run.worker", "template": "bench.run.template", "probe": "bench.engines.probe"}


def make_importable(package: Path) -> None:
    """Registers the package ``bench`` that lies at ``package``."""
    spec = importlib.util.spec_from_file_location(
        "bench", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no package at {package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module
    spec.loader.exec_module(module)


def main(arguments: list[str]) -> int:
    """Runs the role's own ``main``."""
    role, *rest = arguments
    if role not in ROLES:
        raise ValueError(f"unknown role {role!r}, expected one of {tuple(ROLES)}")
    here = Path(__file__).resolve()
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here.parent]
    make_importable(here.parent.parent)
    entry = importlib.import_module(ROLES[role])
    return int(entry.main(rest))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
