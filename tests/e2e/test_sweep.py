"""A tiny real sweep from the command line to its report, by both ways in."""

import json
import subprocess
from pathlib import Path

import pytest

from bench.plan.rounds import shuffled_rounds
from bench.records import Status, SweepRecord
from bench.store.layout import SweepFolder
from bench.store.reader import read_results, read_sweep
from tests.e2e.running import QUICK, TINY, run

SETTINGS = (
    *TINY, *QUICK, "framework=reference,pytorch", "device=cpu,tpu", "batch_size=32,full,100,500", "seed=5",
    "protocol.control=false",
)  # fmt: skip


# Either sweep is made once, by the worker that runs all of its tests.
@pytest.fixture(
    scope="module",
    params=[pytest.param(way, marks=pytest.mark.xdist_group(way)) for way in ("bench sweep", "bench.app -m")],
)
def swept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("sweep")
    finished = run(folder, *request.param.split(), *SETTINGS)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder, finished


@pytest.fixture
def sweep(swept: tuple[Path, subprocess.CompletedProcess[str]]) -> SweepFolder:
    return SweepFolder((swept[0] / "results" / "latest").resolve())


@pytest.fixture
def record(sweep: SweepFolder) -> SweepRecord:
    return read_sweep(sweep)


def test_everything_lies_in_one_folder_and_latest_points_at_it(
    swept: tuple[Path, subprocess.CompletedProcess[str]], sweep: SweepFolder
) -> None:
    assert [path.name for path in swept[0].iterdir()] == ["results"]
    assert {path.name for path in (swept[0] / "results").iterdir()} == {sweep.name, "latest"}
    for path in (sweep.sweep_json, sweep.journal, sweep.report_html, sweep.report_md, sweep.tables, sweep.figures):
        assert path.exists()


def test_it_ends_with_the_path_of_the_report_and_no_noise(swept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    assert "report.html" in swept[1].stdout
    assert "HYDRA" not in swept[1].stdout
    assert swept[1].stderr == ""


def test_one_plain_line_per_finished_run(swept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    lines = [line for line in swept[1].stdout.splitlines() if line.startswith("[")]
    assert len(lines) == 8
    assert "\x1b" not in swept[1].stdout


def test_duplicates_merged_and_the_label_stayed(record: SweepRecord) -> None:
    sizes = {
        (p.cell["framework"], p.cell["device"], p.cell["batch_size"], p.cell["batch_size_label"]) for p in record.cells
    }
    expected = {
        (f, d, size, label)
        for f in ("reference", "pytorch")
        for d in ("cpu", "tpu")
        for size, label in ((32, "32"), (100, "full"))
    }
    assert sizes == expected
    assert len(record.cells) == len(expected)


def test_every_run_has_its_row_in_the_planned_order(sweep: SweepFolder, record: SweepRecord) -> None:
    ran = [result for result in read_results(sweep) if result.status is not Status.UNAVAILABLE]
    assert all(result.status.measured for result in ran)
    for round_, order in enumerate(record.rounds):
        assert [r.cell_id for r in sorted(_of_round(ran, round_), key=lambda r: r.order_in_round or 0)] == order
    started = [e for e in _journal(sweep) if e["event"] == "run_started"]
    assert [(e["round"], e["cell_id"]) for e in started] == [
        (n, c) for n, order in enumerate(record.rounds) for c in order
    ]


def _of_round(results: list, round_: int) -> list:  # type: ignore[type-arg]
    return [result for result in results if result.round == round_]


def _journal(sweep: SweepFolder) -> list[dict[str, object]]:
    return [json.loads(line) for line in sweep.journal.read_text().splitlines()]


def test_the_order_can_be_drawn_again_from_the_recorded_seed(record: SweepRecord) -> None:
    assert record.seed == 5
    assert record.rounds == shuffled_rounds([cell.id for cell in record.cells if cell.unavailable_reason is None], 2, 5)


def test_what_cannot_run_has_its_row_with_the_reason_at_once(sweep: SweepFolder, record: SweepRecord) -> None:
    absent = {r.cell_id: r.reason for r in read_results(sweep) if r.status is Status.UNAVAILABLE}
    assert absent == {cell.id: cell.unavailable_reason for cell in record.cells if cell.cell["device"] == "tpu"}
    assert all(absent.values())
    events = [event["event"] for event in _journal(sweep)]
    assert events.index("run_started") > max(n for n, event in enumerate(events) if event == "run_unavailable")


def test_the_record_says_what_was_asked_and_where(record: SweepRecord) -> None:
    assert "seed=5" in record.overrides
    assert "batch_size=32,full,100,500" in record.command
    assert record.config["budget"]["epochs"] == 2
    assert record.machine
    assert record.software["python"]
    targets = {cell.target_loss for cell in record.cells if cell.unavailable_reason is None}
    assert targets == {target["target_loss"] for target in record.targets}


def test_every_run_trained_as_the_reference_does_and_its_difference_is_kept(
    swept: tuple[Path, subprocess.CompletedProcess[str]], sweep: SweepFolder
) -> None:
    for result in (result for result in read_results(sweep) if result.status is not Status.UNAVAILABLE):
        assert result.parity is not None
        assert result.parity.difference is not None
        assert 0 < result.parity.difference < 5e-6
        assert result.parity_reason is None
        assert result.phases.parity_s is not None
    assert "All 4 cells trained as the float64 reference does" in " ".join(swept[1].stdout.split())


def test_report_rebuilds_the_same_bytes(
    swept: tuple[Path, subprocess.CompletedProcess[str]], sweep: SweepFolder
) -> None:
    before = sweep.report_html.read_bytes()
    sweep.report_html.unlink()
    rebuilt = run(swept[0], "bench", "report")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert sweep.report_html.read_bytes() == before


def test_a_sweep_that_adds_rounds_says_what_ended_them_and_is_no_failure(tmp_path: Path) -> None:
    # No machine knows ten runs of this to 0.01 %.
    asked = ("protocol=rigorous", "protocol.precision=0.0001", "protocol.max_rounds=11")
    settings = [setting for setting in (*TINY, *QUICK) if not setting.startswith("protocol.rounds")]
    finished = run(
        tmp_path,
        "bench",
        "sweep",
        *asked,
        *settings,
        "batch_size=32",
        "protocol.memory=false",
        "protocol.control=false",
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    folder = SweepFolder((tmp_path / "results" / "latest").resolve())
    assert "r10: round 11 of at most 11, 1 of 1 wider than 0.01%, widest: reference eager cpu b" in finished.stdout
    assert "1 of 1 cell remained wider when protocol.max_rounds=11 ended the rounds" in " ".join(
        finished.stdout.split()
    )
    rounds = read_sweep(folder).rounds
    assert len(rounds) == 11
    assert rounds == shuffled_rounds(rounds[0], 11, 0)
    assert {(event["event"], event.get("stopped")) for event in _journal(folder)[-1:]} == {
        ("sweep_finished", "max_rounds")
    }
    assert len(read_results(folder)) == 11
    assert "ended the rounds" in folder.report_md.read_text()
