"""A first step that dwarfs the training behind it is told beside it, and who trains once is told what to take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.trained_once import TrainedOnce
from bench.report import once, story
from bench.report.view import View
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES, Pace
from tests.unit.report.conftest import look_at

ANEW = Pace(21.0, 0.19, 13.0, 0.07, compiles=True)
EAGER, FUSED = "PyTorch eager at batch 32", "PyTorch fused at batch 32"


def sweep(path: Path, fused: Pace, **recipe: Any) -> View:
    usual: dict[str, Any] = dict(
        frameworks=("pytorch",), loops=("eager", "fused"), batch_sizes=(32,), devices=("cpu",), failures=False,
        paces={**PACES, ("pytorch", "fused"): fused},
    )  # fmt: skip
    return look_at(make_sweep(path / "s", **(usual | recipe)))


def test_headline_and_advice_say_what_the_winner_pays_first(tmp_path: Path) -> None:
    view = sweep(tmp_path, ANEW._replace(warm_s=2.0))
    cost = r", not counting a first step of 1[2-4] s \([12]\.\d s once compiled programs are kept\)"
    assert re.search(rf"{FUSED} is first at the target loss: [\d.]+ ms{cost}\.$", story.headline(view))
    (advice,) = story.advice(view)
    assert re.match(rf"Use {FUSED}: it reached the target loss soonest, in [^,]+ of training{cost}\. To", advice.text)
    assert re.search(
        rf" To train once, from nothing: {EAGER}, \d+ ms with its first step against 1[2-4] s\.$", advice.text
    )


def test_a_step_that_compiles_in_every_process_has_one_price(tmp_path: Path) -> None:
    view = sweep(tmp_path, ANEW)
    assert re.search(r"ms, not counting a first step of 1[2-4] s\.$", story.headline(view))
    assert f"To train once, from nothing: {EAGER}, " in story.advice(view)[0].text


@pytest.mark.parametrize(
    ("fused", "rounds"), [(ANEW, 2), (ANEW._replace(warm_s=0.001), 5)], ids=["two rounds", "compiled in one"]
)
def test_few_rounds_are_told_without_certainty(tmp_path: Path, fused: Pace, rounds: int) -> None:
    (advice,) = story.advice(sweep(tmp_path, fused, rounds=rounds))
    said = rf"{EAGER} took \d+ ms with its first step against 1[2-4] s, in too few rounds to be sure\.$"
    assert re.search(f" To train once, from nothing: {said}", advice.text)


def test_a_first_step_that_is_next_to_nothing_is_not_told(tmp_path: Path) -> None:
    view = sweep(tmp_path, Pace(21.0, 0.19, 1e-5, 0.07))
    assert "first step" not in story.headline(view)
    assert "first step" not in story.advice(view)[0].text


def test_what_the_rounds_leave_open_is_not_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = sweep(tmp_path, ANEW)
    eager = str(view.cells.loc[view.cells["loop"] == "eager", "cell_id"].iloc[0])

    def said_of(verdict: str, more_rounds: int | None) -> str:
        seen = TrainedOnce(
            cell_id=eager, seconds=0.3, other_seconds=0.33, n=5, verdict=verdict, more_rounds=more_rounds
        )
        monkeypatch.setattr(once, "trained_once", lambda *_: seen)
        return story.advice(view)[0].text

    assert said_of("inconclusive", 7).endswith(
        f" To train once, from nothing: {EAGER} is not clearly sooner, 300 ms with its first step against 330 ms: "
        "about 7 more rounds would settle it."
    )
    for verdict in ("tie", "slower"):
        assert "To train once" not in said_of(verdict, None)
