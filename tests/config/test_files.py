"""Every file of conf/ composes, says how it is run, and gives a config that keeps all rules."""

import dataclasses
import re
from pathlib import Path

import pytest

from bench.app import CONF
from bench.cell import BudgetSpec, LrPolicySpec, NetworkSpec, OptimizerSpec, ProtocolSpec
from bench.config import Config
from bench.plan.expand import cell_of
from tests.config.composing import composed, grid

FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml"))
CHOICES = [path for path in FILES if len(path.parts) == 2]
NEEDS = {"data/file.yaml": ("data.path=some.csv", "data.target=label")}


def test_every_group_of_the_design_is_there() -> None:
    groups = {path.parts[0] for path in CHOICES}
    assert groups == {
        "framework", "loop", "device", "data", "network", "optimizer", "lr_policy", "budget", "protocol", "defaults",
        "experiment",
    }  # fmt: skip


@pytest.mark.parametrize("path", CHOICES, ids=str)
def test_every_choice_composes_and_keeps_all_rules(path: Path) -> None:
    config = composed(f"{path.parts[0]}={path.stem}", *NEEDS.get(path.as_posix(), ()))
    assert isinstance(config, Config)


@pytest.mark.parametrize("path", CHOICES, ids=str)
def test_every_choice_states_its_command_on_top_and_is_small(path: Path) -> None:
    lines = (CONF / path).read_text().splitlines()
    command = next(line for line in lines if not line.startswith("# @package"))
    assert re.match(rf"# to run: bench (run|sweep) .*\b{path.parts[0]}={path.stem}\b", command)
    assert len(lines) <= 18


def test_the_single_run_is_one_cell_on_the_cpu() -> None:
    cell = cell_of(composed())
    assert (cell.family, cell.batch_size, cell.data.n_train, cell.data.n_val) == ("pytorch-eager-cpu", 32, 1000, 250)


def test_what_files_and_classes_call_the_default_is_the_same() -> None:
    """A default stands in conf/ for the user to see and in the schema for what a file leaves out."""
    assert composed() == Config(data=composed().data)


@pytest.mark.parametrize(
    ("spec", "group"),
    [
        (NetworkSpec, "network"),
        (OptimizerSpec, "optimizer"),
        (LrPolicySpec, "lr_policy"),
        (BudgetSpec, "budget"),
        (ProtocolSpec, "protocol"),
    ],
)
def test_every_setting_of_a_cell_can_be_set(spec: type, group: str) -> None:
    settings = {field.name for field in dataclasses.fields(getattr(composed(), group))}
    assert {field.name for field in dataclasses.fields(spec)} <= settings


def test_the_default_grid() -> None:
    points = grid()
    assert {(p.framework.name, p.framework.backend) for p in points} == {("pytorch", None), ("keras", "tensorflow")}
    assert {p.device.name for p in points} == {"cpu", "gpu", "tpu"}
    assert {p.loop.name for p in points} == {"idiomatic", "fused"}
    assert {p.batch_size for p in points} == {1, 4, 8, 16, 32, 64, 128, 256, 512, "full"}
    assert len(points) == 2 * 3 * 2 * 10
    assert {p.data.name for p in points} == {"teacher"}
    assert {(p.budget.epochs, p.protocol.rounds) for p in points} == {(10, 5)}


def test_the_presets_of_the_protocol() -> None:
    asked = {name: composed(f"protocol={name}").protocol for name in ("quick", "standard", "rigorous")}
    assert {name: (p.rounds, p.precision, p.max_rounds, p.budget_s) for name, p in asked.items()} == {
        "quick": (2, None, None, None),
        "standard": (5, None, None, None),
        "rigorous": (10, 0.02, 30, 3600.0),
    }


def test_what_ends_the_rounds_makes_no_other_cell() -> None:
    settings = ("protocol.rounds=10", "protocol.precision=0.1", "protocol.max_rounds=12", "protocol.budget_s=9")
    assert cell_of(composed(*settings, "protocol.precision_of=comparisons")).id == cell_of(composed()).id


def test_the_tutorial_is_the_articles_two_programs() -> None:
    points = grid("experiment=tutorial")
    assert [(p.framework.name, p.loop.name, p.batch_size) for p in points] == [
        ("pytorch", "idiomatic", 32),
        ("keras", "idiomatic", 32),
    ]
    for point in points:
        cell = cell_of(point)
        assert (cell.data.name, cell.data.n_train, cell.data.features) == ("tutorial", 1000, 20)
        assert (cell.budget.epochs, cell.defaults) == (10, "framework")
        assert (cell.optimizer.name, cell.optimizer.lr) == ("adam", 0.001)


def test_the_command_line_wins_over_the_experiment_and_the_experiment_over_the_default_grid() -> None:
    points = grid("experiment=smoke", "batch_size=7,9", "protocol.rounds=3")
    assert {p.batch_size for p in points} == {7, 9}
    assert {p.device.name for p in points} == {"cpu"}
    assert {p.protocol.rounds for p in points} == {3}


def test_an_experiment_also_sets_a_single_run() -> None:
    config = composed("experiment=tutorial")
    assert (config.data.name, config.loop.name, config.defaults.name) == ("tutorial", "idiomatic", "framework")


def test_each_framework_can_have_its_own_interpreter_in_one_sweep() -> None:
    points = grid(
        "framework=pytorch,keras,keras_jax",
        "device=cpu",
        "loop=idiomatic",
        "batch_size=1",
        "interpreters.keras=/k/python",
    )
    assert [p.framework.python for p in points] == [None, "/k/python", "/k/python"]


def test_a_swept_value_reaches_what_refers_to_it() -> None:
    points = grid("framework=pytorch", "device=cpu", "loop=eager", "batch_size=1", "interpreters.pytorch=/a,/b")
    assert [p.framework.python for p in points] == ["/a", "/b"]


def test_ranges_and_choices_sweep_like_commas() -> None:
    fixed = ("framework=pytorch", "device=cpu", "loop=eager")
    assert [p.batch_size for p in grid(*fixed, "batch_size=range(1,4)")] == [1, 2, 3]
    assert [p.batch_size for p in grid(*fixed, "batch_size=choice(8,full)")] == [8, "full"]
    assert len(grid("framework=glob(keras*)", "device=cpu", "loop=idiomatic", "batch_size=1")) == 3
