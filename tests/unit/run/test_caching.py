"""Cold or warm is seen from the files that a first step leaves, and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cell import Cell, DataSpec
from bench.engines.base import Compilation, Engine, Setup
from bench.engines.reference import ReferenceEager
from bench.records import CompileCache
from bench.run.caching import compile_cache, kept_programs


def make_engine(folder: Path | None, compilation: Compilation = "cached") -> Engine:
    class Compiling(ReferenceEager):
        pass

    Compiling.compilation = compilation
    data = DataSpec(name="teacher", n_train=10, n_val=3, features=2)
    cell = Cell(framework="reference", loop="eager", device="cpu", batch_size=4, batch_size_label="4", data=data)
    return Compiling(Setup(cell=cell, lr=0.1, native_seed=0, cache_folder=folder))


def first_step(engine: Engine, folder: Path, *programs: str) -> CompileCache:
    """What is told of a first step that leaves these programs."""
    before = kept_programs(engine)
    for program in programs:
        (folder / program).parent.mkdir(parents=True, exist_ok=True)
        (folder / program).write_text("compiled")
    return compile_cache(engine, before)


def test_cold_while_programs_are_added_and_warm_once_all_are_there(tmp_path: Path) -> None:
    engine = make_engine(tmp_path)
    assert first_step(engine, tmp_path, "full", "deeper/short") is CompileCache.COLD
    assert first_step(engine, tmp_path) is CompileCache.WARM
    assert first_step(engine, tmp_path, "full") is CompileCache.WARM  # written again is not added
    assert first_step(engine, tmp_path, "full", "deeper/another") is CompileCache.COLD


def test_an_empty_folder_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "made-for-later").mkdir()
    assert first_step(make_engine(tmp_path), tmp_path) is CompileCache.ANEW


def test_a_cache_that_kept_nothing_was_no_cache(tmp_path: Path) -> None:
    assert first_step(make_engine(tmp_path), tmp_path) is CompileCache.ANEW
    assert first_step(make_engine(None), tmp_path, "elsewhere") is CompileCache.ANEW


@pytest.mark.parametrize("compilation", ["anew", "nothing"])
def test_engines_without_a_cache_are_told_by_what_they_say(tmp_path: Path, compilation: Compilation) -> None:
    assert first_step(make_engine(tmp_path, compilation), tmp_path, "dump").value == compilation
