"""The verbs: each explains itself with examples that work, and `plan` says everything and runs nothing."""

import re
import shlex
from pathlib import Path

import pytest

import bench
from bench import app, cli

VERBS = ("sweep", "run", "plan", "report", "compare", "export", "import", "doctor")


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as leaving:
        cli.main([*arguments, "--help"])
    assert leaving.value.code == 0
    return capsys.readouterr().out


def examples_in(text: str) -> list[str]:
    return re.findall(r"^  (bench .+)$", text.partition("examples:")[2], re.MULTILINE)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.csv").write_text("a,b,label\n1,2,0\n3,4,1\n5,6,1\n7,8,0\n9,1,1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    assert all(re.search(rf"^    {verb} ", text, re.MULTILINE) for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = examples_in(help_of(capsys, verb))
    assert examples
    assert all(example.startswith(f"bench {verb}") for example in examples)


@pytest.mark.parametrize("verb", ["sweep", "run", "plan"])
def test_every_example_with_settings_plans(verb: str, elsewhere: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Sweeps and runs are planned instead of run: the same settings take the same way up to the first run."""
    before = sorted(elsewhere.iterdir())
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    for example in examples_in(capfd.readouterr().out):
        _, _, *settings = shlex.split(example)
        if "--resume" in settings:  # needs a sweep that was begun
            continue
        code = app.main([*settings, "sweep.dry_run=true"]) if verb == "run" else cli.main(["plan", *settings])
        assert code == 0, example
        assert re.search(r"\d+ cells?( and \d+ controls?)? x \d+ rounds?", capfd.readouterr().out), example
    assert sorted(elsewhere.iterdir()) == before


def test_plan_lists_the_cells_in_order_and_what_cannot_run_with_its_reason(
    elsewhere: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ["framework=reference", "device=cpu,tpu", "loop=eager", "batch_size=1,32,full,1000,2048", "seed=3"]
    assert cli.main(["plan", *settings]) == 0
    said = capfd.readouterr().out
    sizes = re.findall(r"reference +eager +cpu +(1|32|1000 \(full\)) ", said)
    assert sorted(sizes) == ["1", "1000 (full)", "32"]
    assert re.search(r"reference +eager \(control\) +cpu +32 ", said)
    assert re.search(r"reference +eager +tpu +3 +.*NumPy computes on the cpu only", said)
    assert "3 cells and 1 control x 5 rounds = 20 runs, order seeded by 3; 3 cells cannot run here." in said
    assert re.search(r"Estimated time: about \d+ (s|min) \(an estimate", said)
    assert "Nothing was run." in said
    assert "\x1b" not in said
    assert cli.main(["plan", *settings]) == 0
    assert re.findall(r"reference-eager-\S+", capfd.readouterr().out) == re.findall(r"reference-eager-\S+", said)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"bench {bench.__version__}\n"


@pytest.mark.parametrize("arguments", [["fly"], [], ["doctor", "--nonsense"], ["report", "a", "b"]])
def test_words_that_are_no_verb_are_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    assert leaving.value.code == 2
    assert "usage: bench" in capsys.readouterr().err


def test_hydras_help_and_config_work(capfd: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--cfg", "job", "batch_size=7"]) == 0
    assert "batch_size: 7" in capfd.readouterr().out
    assert app.main(["--help"]) == 0
    assert "framework: keras, keras_jax, keras_torch, pytorch, reference" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bench sw", "sweep"),
        ("bench ", "doctor"),
        ("bench sweep framew", "framework="),
        ("bench run batch_size=3 loop=e", "loop=eager"),
        ("bench plan optimizer.l", "optimizer.lr="),
        ("python bench/app.py loop=e", "loop=eager"),
    ],
)
def test_the_shell_completes_verbs_groups_options_and_keys(
    line: str, offered: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    main = app.main if line.startswith("python") else cli.main
    assert main(["-sc", "query=bash"]) == 0
    assert offered in capfd.readouterr().out.split()


def test_completion_can_be_installed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COMP_LINE", raising=False)
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/bench"])
    assert cli.main(["-sc", "install=bash"]) == 0
    assert capfd.readouterr().out.rstrip().endswith("-F hydra_bash_completion bench")
