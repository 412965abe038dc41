"""Opens an engine's device in a process of its own and says what it found: the one truth about what can run here.

It runs in the framework's interpreter (``bench/run/bootstrap.py probe REQUEST``) and answers with one line of JSON, the
last it prints: ``{"device_name": name, "reason": null}``, or no name and the reason.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from bench.cell import Cell, DataSpec
from bench.engines import catalogue
from bench.engines.base import Setup
from bench.errors import Unavailable

ANSWER_MARK = "bench-probe: "


def main(arguments: list[str]) -> int:
    """Answers the request, a JSON object with ``framework``, ``backend``, ``loop`` and ``device``."""
    answer = probe(**json.loads(arguments[0]))
    print(f"\n{ANSWER_MARK}{json.dumps(answer)}", flush=True)
    sys.stderr.flush()
    os._exit(0)  # a framework that crashes in its own tear-down has answered all the same


def probe(framework: str, backend: str | None, loop: str, device: str) -> dict[str, Any]:
    """Initialises the framework on the device; whatever goes wrong becomes the reason."""
    try:
        engine_class = catalogue.engine_class(framework, backend, loop)
        engine = engine_class(Setup(cell=smallest_cell(framework, backend, loop, device), lr=1e-3, native_seed=0))
        return {"device_name": engine.open_device(), "reason": None}
    except Unavailable as error:
        return {"device_name": None, "reason": str(error)}
    except Exception as error:  # the reason is the answer, whatever it is
        return {"device_name": None, "reason": f"{type(error).__name__}: {first_line(error)}"}


def smallest_cell(framework: str, backend: str | None, loop: str, device: str) -> Cell:
    """A cell that no one trains; an engine wants one to open its device."""
    data = DataSpec(name="teacher", n_train=2, n_val=1, features=1)
    return Cell(
        framework=framework, backend=backend, loop=loop, device=device, batch_size=1, batch_size_label="1", data=data
    )


def first_line(error: Exception) -> str:
    """The first line of an error's text that says anything."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
