"""A config from somebody else runs nothing and writes nothing outside the results folder."""

from pathlib import Path

import pytest

from bench import app
from bench.errors import StorageError
from bench.store.layout import SweepFolder, component

CALLS = {
    "data/evil.yaml": ("data=evil", "_target_: os.mkdir\npath: sprung\n", "data._target_: not allowed"),
    "hydra/callbacks/evil.yaml": (
        "hydra/callbacks=evil",
        "x: {_target_: os.mkdir, path: sprung}\n",
        "hydra.callbacks: not allowed",
    ),
    "hydra/launcher/evil.yaml": (
        "hydra/launcher=evil",
        "_target_: os.mkdir\npath: sprung\n",
        "hydra.launcher._target_=os.mkdir: not allowed",
    ),
    "hydra/job_logging/evil.yaml": (
        "hydra/job_logging=evil",
        "version: 1\nroot: {handlers: [f]}\nhandlers: {f: {(): os.mkdir, path: sprung}}\n",
        "hydra.job_logging.handlers.f.()=os.mkdir: not allowed",
    ),
    "hydra/hydra_logging/evil.yaml": (
        "hydra/hydra_logging=evil",
        "version: 1\nroot: {handlers: [f]}\nhandlers: {f: {class: logging.FileHandler, filename: sprung}}\n",
        "hydra.hydra_logging.handlers.f.class=logging.FileHandler: not allowed",
    ),
    "experiment/dirs.yaml": (
        "experiment=dirs",
        "# @package _global_\nhydra: {run: {dir: sprung}, sweep: {dir: sprung}}\n",
        "dir=sprung: not allowed",
    ),
    "experiment/evil.yaml": (
        "experiment=evil",
        "# @package _global_\nhydra: {job: {env_set: {LD_PRELOAD: evil.so}}}\n",
        "hydra.job.env_set: not allowed",
    ),
}


@pytest.mark.parametrize("mode", ["--run", "--multirun"])
@pytest.mark.parametrize("path", CALLS)
def test_a_strangers_config_folder_calls_nothing(
    path: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    choice, content, message = CALLS[path]
    configs, here = tmp_path / "configs", tmp_path / "here"
    (configs / path).parent.mkdir(parents=True)
    (configs / path).write_text(content)
    here.mkdir()
    monkeypatch.chdir(here)
    assert app.main([mode, "device=cpu", "framework=reference", choice, f"--config-dir={configs}"]) == 2
    said = capfd.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "", "../../etc", "a/b", "/etc", "a\\b", "a\0b", "x" * 300])
def test_no_name_in_a_record_leads_out_of_its_folder(name: str, tmp_path: Path) -> None:

    for use in (component, lambda n: SweepFolder(tmp_path).run(n, 0), SweepFolder(tmp_path).cell_cache):
        with pytest.raises(StorageError, match="no name of a folder") as refusal:
            use(name)
        assert len(str(refusal.value).splitlines()) == 3
