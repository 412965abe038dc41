"""Names and folders that want out, in a whole sweep; the readers and the report have suites of their own."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.fault import Fault, NotHere, Strike
from tests.faults.sweeping import ROOT, Ended, Scene

GROUP = "hostile"
ODD = "a b'ü$(touch owned);=1+1"
COLUMN = "</script><script>alert(1)</script>"


def refused(*settings: str) -> Strike:
    """A sweep with a setting that is no setting: nothing may be written."""

    def strike(scene: Scene) -> Ended:
        ended = scene.sweep(*settings)
        written = [str(path) for path in (*scene.at.rglob("*"), *scene.root.glob("out*"))]
        scene.observe("nothing written", not written, ", ".join(written[:3]))
        return ended

    return strike


def _odd_folder(scene: Scene) -> Ended:
    scene.results_folder = ODD
    ended = scene.sweep("sweep.dir='" + ODD.replace("'", "\\'") + "'")
    here = os.listdir(scene.at)
    scene.observe("only its folder", here == [ODD], f"{here}")
    return ended


def _odd_table(scene: Scene) -> Ended:
    """A user's own table whose columns are code."""
    rows = "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40))
    (scene.at / "=cmd.csv").write_text(f'"{COLUMN}","=HYPERLINK(1)",label\n{rows}')
    scene.settings = tuple(setting for setting in scene.settings if not setting.startswith("data."))
    ended = scene.sweep("data=file", "data.path='=cmd.csv'", "data.target=label", "batch_size=16,full")
    page = scene.folder.report_html
    scene.observe(
        "no script of others", page.exists() and COLUMN not in page.read_text(), "it is in the report, or there is none"
    )
    return ended


def _old(scene: Scene) -> Ended:
    """Results of every released version of the format are read."""
    sweeps = sorted(path.parent for path in (ROOT / "tests" / "old_results").glob("**/sweep.json"))
    if not sweeps:
        raise NotHere("there are no old results")
    for sweep in sweeps:
        _report_of_copy(scene, sweep)
    return scene.sweep(plants=[["no_report"]])


def _report_of_copy(scene: Scene, sweep: Path) -> None:
    import shutil

    copy = scene.root / "old" / sweep.parent.name / sweep.name
    shutil.copytree(sweep, copy)
    ended = scene.bench("report", str(copy))
    name = f"{sweep.parent.name}/{sweep.name}"
    scene.observe(f"report of {name}", ended.code == 0, f"{ended.code}: {ended.said[-200:]}")
    scene.observe(f"page of {name}", (copy / "report.html").exists(), "no report.html")


FAULTS = [
    Fault(
        name="name-up",
        group=GROUP,
        what="sweep.name=../out",
        strike=refused("sweep.name=../out"),
        code=2,
        words=("sweep.name", "../out"),
        resume=None,
    ),
    Fault(
        name="name-long",
        group=GROUP,
        what="a name of 300 characters",
        strike=refused(f"sweep.name={'x' * 300}"),
        code=2,
        words=("sweep.name",),
        resume=None,
    ),
    Fault(
        name="target-config",
        group=GROUP,
        what="a config that names something to be called",
        strike=refused("+data._target_=os.system", "+data.command='touch owned'"),
        code=2,
        words=("_target_",),
        resume=None,
    ),
    Fault(
        name="odd-folder",
        group=GROUP,
        what="results in a folder of blanks, quotes and a command",
        strike=_odd_folder,
        code=0,
    ),
    Fault(
        name="odd-table",
        group=GROUP,
        what="a table whose columns are scripts and formulas",
        strike=_odd_table,
        code=0,
        same_tables=False,
    ),
    Fault(name="old-results", group=GROUP, what="results of every released version", strike=_old, code=0),
]
