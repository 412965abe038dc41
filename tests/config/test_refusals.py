"""What a user gets wrong on the command line: exit 2 before anything starts, the key and the rule, no traceback."""

from pathlib import Path

import pytest

from bench import app

# The arguments, and what the message must say.
WRONG = [
    ("batch_size=0", "batch_size must be a whole number from 1 to 10,000,000, or 'full'"),
    ("batch_size=-5", "batch_size must be"),
    ("batch_size=1.5", "batch_size must be"),
    ("batch_size=nan", "batch_size must be"),
    ("batch_size=true", "batch_size must be"),
    ("optimizer.lr=nan", "optimizer.lr must be a finite number above 0"),
    ("budget.epochs=abc", "budget.epochs must be a whole number"),
    ("batchsize=3", "did you mean batch_size?"),
    ("optimizer.learning_rate=1", "did you mean optimizer.lr?"),
    ("optimzer=adam", "did you mean optimizer?"),
    ("+foo=1", "foo: there is no such setting"),
    ("framework=kers", "did you mean framework=keras?"),
    ("device=banana", "device must be one of cpu, gpu, tpu"),
    ("loop=eagr", "did you mean loop=eager?"),
    ("experiment=nope", "experiment must be one of"),
    ("framework=null", "must be a string or a list"),
    ("network.hidden.x=3", "did you mean network.hidden?"),
    ("framework@foo=pytorch", "framework@foo"),
    ("data.path=${x}", "'x' not found"),
    ("batch_size", "settings are written key=value"),
    ("batch_size=1,2", "bench sweep batch_size=1,2"),
    ("data=breast_cancer data.n=5", "data.n: the chosen data has no such setting"),
    ("framework=pytorch framework.backend=jax", "keras has a backend"),
    ("data=file data.path=no/such.csv data.target=y", "data.path=no/such.csv: no such file"),
    ("data=file", "data.path: missing"),
    ("sweep.name=../x", "sweep.name must be"),
    ("hydra/launcher=nope", "hydra/launcher must be one of"),
    ("-m batch_size=1,0", "batch_size=0: not allowed"),
    ("-m framework=pytorch,banana", "framework=banana: there is no such choice"),
    ("-m optimizer.lr=0.1,nan", "optimizer.lr=nan: not allowed"),
    ("-m batch_size=interval(1,2)", "not a grid"),
    ("-m experiment=smoke,tutorial", "experiment=smoke,tutorial: cannot be swept"),
    ("-m sweep.name=a,b", "cannot be swept"),
    ("-m protocol.rounds=1,2", "protocol.rounds: cannot be swept"),
    ("-m sweep.require=[gpu] device=cpu", "no cell of this grid is 'gpu'"),
    ("--run --multirun", "Only one of --run, --multirun"),
    ("batch_size=1_0_0_0_0_0_0_0_0_0_0_0", "batch_size must be"),
    ("optimizer.lr=1e400", "optimizer.lr must be"),
    ("optimizer.lr=-0", "optimizer.lr must be"),
    ("+data._target_=os.system", "data._target_: not allowed"),
    ("+optimizer={_target_:os.system,command:id}", "not allowed"),
    ("data.path={_target_:os.system}", "not allowed"),
    ("hydra.run.dir=elsewhere", "hydra.run.dir=elsewhere: not allowed"),
    ("hydra.run.dir=${oc.env:HOME}", "hydra.run.dir=${oc.env:HOME}: not allowed"),
    ("-m hydra.sweep.dir=../..", "hydra.sweep.dir=../..: not allowed"),
    ("-m hydra.sweep.subdir=../..", "hydra.sweep.subdir=../..: not allowed"),
    ("hydra.output_subdir=.hydra", "hydra.output_subdir=.hydra: not allowed"),
    ("hydra.job.chdir=true", "hydra.job.chdir=True: not allowed"),
    ("+hydra.job.env_set.LD_PRELOAD=evil.so", "hydra.job.env_set: not allowed"),
    ("+hydra.callbacks.x._target_=builtins.print", "hydra.callbacks: not allowed"),
    ("-m hydra.launcher._target_=builtins.print", "hydra.launcher._target_=builtins.print: not allowed"),
    ("-m +hydra.launcher.x._target_=builtins.print", "hydra.launcher.x._target_=builtins.print: not allowed"),
    ("-m hydra.sweeper._target_=builtins.print", "hydra.sweeper._target_=builtins.print: not allowed"),
    ("-m hydra.sweeper=1.5", "hydra.sweeper=1.5: not allowed"),
    ("-m hydra.launcher=null", "hydra.launcher=None: not allowed"),
    ("hydra.verbose={_target_:builtins.print}", "hydra.verbose={'_target_': 'builtins.print'}: not allowed"),
    ("-m hydra/sweeper=basic", "BasicSweeper: not allowed"),
    ("hydra/job_logging=default", "hydra.job_logging.handlers.file.class=logging.FileHandler: not allowed"),
    ("--experimental-rerun=evil.pickle", "--experimental-rerun: not done here"),
    ("--config-path=elsewhere", "not found"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[arguments for arguments, _ in WRONG])
def test_wrong_usage_is_explained_and_starts_nothing(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.main(arguments.split()) == 2
    said = capfd.readouterr().err
    assert message in said
    assert said.startswith("bench: ")
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_required_device_that_is_not_there_is_exit_6(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.main(["-m", "framework=reference", "device=cpu,gpu", "loop=eager", "sweep.require=[gpu]"]) == 6
    assert "gpu is required but cannot run here" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a bug of ours")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "make_plan", broken)
    with pytest.raises(ValueError, match="a bug of ours"):
        app.main([])
