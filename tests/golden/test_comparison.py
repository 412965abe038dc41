"""The Markdown of one comparison, word for word; after a wanted change, REWRITE_GOLDEN=1 writes it anew."""

from __future__ import annotations

from pathlib import Path

from bench.report.comparison.build import build_comparison
from tests.golden.test_report import compare
from tests.synthetic import make_sweep
from tests.unit.analysis.test_across import SLOWED, SMALL


def test_markdown(tmp_path: Path) -> None:
    wider = SMALL | {"paces": SLOWED, "devices": ("cpu", "gpu"), "batch_sizes": (8, 32, 64, "full")}
    sweeps = [make_sweep(tmp_path / "old", **SMALL), make_sweep(tmp_path / "new", **wider)]
    _, folder = build_comparison(sweeps)
    compare("compare.md", folder.markdown.read_text(encoding="utf-8"))
