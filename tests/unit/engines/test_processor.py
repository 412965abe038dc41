"""The processor's name."""

from __future__ import annotations

from pathlib import Path

from bench.engines.processor import processor_name


def test_linux_tells_it(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nprocessor\t: 1\nmodel name\t: Other\n")
    assert processor_name(cpuinfo) == "Some CPU @ 2.00GHz"


def test_elsewhere_there_is_a_name_all_the_same(tmp_path: Path) -> None:
    assert processor_name(tmp_path / "absent")
