"""Whether a first step compiled its programs or found them kept: seen from the cache folder, knowing no framework.

Every cell of a sweep has a folder of its own, in which one process at a time works. So what is new in it after the
first step was compiled by that step; were only some programs new, the step was cold all the same. An engine that keeps
its programs but added none to an empty folder has compiled them for itself alone.
"""

from __future__ import annotations

from pathlib import Path

from bench.engines.base import Engine
from bench.records import CompileCache


def kept_programs(engine: Engine) -> frozenset[Path]:
    """The files in the engine's cache folder, at any depth; none where it has no folder."""
    folder = engine.setup.cache_folder
    if folder is None:
        return frozenset()
    return frozenset(path for path in folder.rglob("*") if path.is_file())


def compile_cache(engine: Engine, kept_before: frozenset[Path]) -> CompileCache:
    """Where the programs of the first step came from, told after it from what had been kept before it."""
    if engine.compilation == "nothing":
        return CompileCache.NOTHING
    kept = kept_programs(engine)
    if engine.compilation == "anew" or not kept:
        return CompileCache.ANEW
    return CompileCache.COLD if kept - kept_before else CompileCache.WARM
