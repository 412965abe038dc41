"""The sweeper hands each round to the configured launcher, and each job knows which run of which sweep it is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins

from bench import app
from bench.records import RunResult, Status
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from bench.store.writer import write_result
from bench.sweep import conducting

SETTINGS = (
    "-m",
    "framework=reference",
    "device=cpu",
    "loop=eager",
    "protocol.control=false",
    "batch_size=1,8,full",
    "protocol.rounds=3",
    "data.n=20",
)
RunJob = Callable[..., RunResult]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, int, str]]:
    """Runs are recorded instead of run: (round, order, cell id) of every job, in their order."""
    seen: list[tuple[int, int, str]] = []

    def run_job(folder: SweepFolder, cell_id: str, *, round_: int, order: int) -> RunResult:
        seen.append((round_, order, cell_id))
        result = RunResult(cell_id=cell_id, round=round_, order_in_round=order, status=Status.OK, started_at="now")
        write_result(folder.run(cell_id, round_), result)
        return result

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "run_job", run_job)
    monkeypatch.setattr(conducting, "_report", lambda *_: None)
    return seen


def record(folder: Path) -> Any:
    return read_sweep(SweepFolder((folder / "results" / "latest").resolve()))


def test_rounds_are_outermost_and_keep_the_recorded_order(jobs: list[tuple[int, int, str]], tmp_path: Path) -> None:
    assert app.main(SETTINGS) == 0
    rounds = record(tmp_path).rounds
    assert jobs == [(r, o, cell) for r, cells in enumerate(rounds) for o, cell in enumerate(cells)]
    assert len(jobs) == 9


def test_every_sweep_has_a_control_unless_told_otherwise(jobs: list[tuple[int, int, str]], tmp_path: Path) -> None:
    assert app.main([setting for setting in SETTINGS if "control" not in setting]) == 0
    controls = [planned.id for planned in record(tmp_path).cells if planned.cell["control"]]
    assert [cell.rpartition("-")[0] for cell in controls] == ["reference-eager-cpu-control-b8"]
    assert [round_ for round_, _, cell in jobs if cell in controls] == [0, 1, 2]


def test_one_batch_per_round_with_running_numbers(
    jobs: list[tuple[int, int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[tuple[int, int]] = []
    instantiate = Plugins.instantiate_launcher

    def watched(self: Plugins, **settings: Any) -> Any:
        launcher: Any = instantiate(self, **settings)
        launch = launcher.launch

        def watched_launch(job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Any:
            batches.append((len(job_overrides), initial_job_idx))
            return launch(job_overrides, initial_job_idx)

        launcher.launch = watched_launch
        return launcher

    monkeypatch.setattr(Plugins, "instantiate_launcher", watched)
    assert app.main(SETTINGS) == 0
    assert batches == [(3, 0), (3, 3), (3, 6)]


@pytest.mark.parametrize("name", ["plain", "two.parts", "_a-b", "2026-11-24"])
def test_any_allowed_name_reaches_the_jobs(name: str, jobs: list[tuple[int, int, str]], tmp_path: Path) -> None:
    assert app.main([*SETTINGS, f"sweep.name={name}"]) == 0
    assert len(jobs) == 9
    assert {path.name for path in (tmp_path / "results").iterdir()} == {name, "latest"}


def test_settings_of_the_sweeper_itself_do_not_disturb_the_jobs(jobs: list[tuple[int, int, str]]) -> None:
    arguments = [*SETTINGS[:-3], "data.n=20", "hydra.sweeper.params.batch_size='2,4'", "protocol.rounds=1"]
    assert "batch_size=1,8,full" not in arguments
    assert app.main(arguments) == 0
    assert sorted(cell.rpartition("-")[0] for _, _, cell in jobs) == [
        "reference-eager-cpu-b2",
        "reference-eager-cpu-b4",
    ]


def test_compiled_programs_go_when_the_sweep_has_finished_and_stay_when_it_was_cut_short(
    jobs: list[tuple[int, int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded: RunJob = vars(app)["run_job"]

    def compiling(folder: SweepFolder, cell_id: str, **settings: Any) -> RunResult:
        folder.cell_cache(cell_id).mkdir(parents=True, exist_ok=True)
        if folder.name == "cut" and settings["round_"] == 1:
            raise KeyboardInterrupt
        return recorded(folder, cell_id, **settings)

    monkeypatch.setattr(app, "run_job", compiling)
    for name, code, kept in (("whole", 0, False), ("cut", 130, True)):
        assert app.main([*SETTINGS, f"sweep.name={name}"]) == code
        assert (tmp_path / "results" / name / "cache").exists() is kept


def test_a_failed_run_is_exit_3_and_a_missing_target_is_not(
    jobs: list[tuple[int, int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: RunJob = vars(app)["run_job"]
    for status, code in ((Status.TARGET_NOT_REACHED, 0), (Status.UNAVAILABLE, 0), (Status.CRASHED, 3), (Status.OOM, 3)):
        monkeypatch.setattr(app, "run_job", lambda *a, _s=status, **k: replace(recorded(*a, **k), status=_s))
        assert app.main(SETTINGS) == code


def test_what_is_required_and_turns_out_missing_is_exit_6(
    jobs: list[tuple[int, int, str]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recorded: RunJob = vars(app)["run_job"]
    monkeypatch.setattr(app, "run_job", lambda *a, **k: replace(recorded(*a, **k), status=Status.UNAVAILABLE))
    assert app.main([*SETTINGS, "sweep.require=[reference]"]) == 6
    assert "could not be used" in capfd.readouterr().err


def test_storage_that_fails_ends_the_sweep_at_once(
    jobs: list[tuple[int, int, str]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from bench.errors import StorageError

    recorded: RunJob = vars(app)["run_job"]

    def full(*arguments: Any, **settings: Any) -> RunResult:
        if len(jobs) == 4:
            raise StorageError("cannot write x: no space left")
        return recorded(*arguments, **settings)

    monkeypatch.setattr(app, "run_job", full)
    assert app.main(SETTINGS) == 4
    assert len(jobs) == 4
    assert "no space left" in capfd.readouterr().err
