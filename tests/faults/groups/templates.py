"""Interpreters and imports that fail, at once or in the end: what does not run is said."""

from __future__ import annotations

import sys

from tests.faults import interpreters
from tests.faults.fault import Fault, Strike
from tests.faults.sweeping import Ended, Scene

GROUP = "import"
RETRY = ("--retry", "unavailable")


def broken_once(action: str, *, plants: tuple[list[object], ...] = ()) -> Strike:
    """The first template of the sweep does something, in shell, before it would be a template."""

    def strike(scene: Scene) -> Ended:
        struck = scene.root / "struck"
        path = interpreters.script(
            scene.root / "broken",
            f'#!/bin/sh\ncase "$1 $2" in *bootstrap.py*template*) if [ ! -e {struck} ]; then : > {struck}\n'
            f'{action}\nfi;; esac\nexec {sys.executable} "$@"\n',
        )
        ended = scene.sweep(f"framework.python={path}", plants=plants)
        scene.observe("fault happened", struck.exists(), "no template met it")
        return ended

    return strike


def _missing(scene: Scene) -> Ended:
    return scene.sweep("framework.python=/nowhere/python")


def _required(scene: Scene) -> Ended:
    return scene.sweep("framework.python=/nowhere/python", "sweep.require=[reference]")


def said(name: str, what: str, strike: Strike, reason: str) -> Fault:
    """A template that fails makes its runs unavailable, which is said and is no failure."""
    return Fault(
        name=name,
        group=GROUP,
        what=what,
        strike=strike,
        code=0,
        status="unavailable",
        reason=reason,
        words=("reference", reason),
        resume=RETRY,
    )


FAULTS = [
    said("import-aborts", "a library aborts on import", broken_once("kill -ABRT $$"), "SIGABRT"),
    said(
        "import-fails",
        "a module is missing",
        broken_once("echo 'no such module: torch' >&2; exit 1"),
        "no such module: torch",
    ),
    Fault(
        name="import-hangs",
        group=GROUP,
        what="the import never ends",
        strike=broken_once("sleep 3600", plants=(["import_within", 2.0],)),
        code=3,
        status="timeout",
        reason="not imported within",
        words=("reference", "not imported within"),
        resume=("--retry", "timeout"),
    ),
    said(
        "import-prints",
        "a library prints on import, where messages are expected",
        broken_once("echo garbage; exit 0"),
        "cannot be imported",
    ),
    Fault(
        name="no-interpreter",
        group=GROUP,
        what="framework.python is not there",
        strike=_missing,
        code=0,
        status="unavailable",
        reason="/nowhere/python",
        words=("/nowhere/python",),
        resume=None,
    ),
    Fault(
        name="required-missing",
        group=GROUP,
        what="the same, but it is required",
        strike=_required,
        code=6,
        words=("reference", "require"),
        resume=None,
        reports=False,
    ),
]
