"""The verbs a person types: each parses its words and calls the room that does the work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import bench
from bench.errors import BenchError, UsageError
from bench.store.claim import LATEST
from bench.store.layout import SweepFolder

INTERRUPTED = 130
DEFAULT_FOLDER = f"results/{LATEST}"

_OVERRIDES_HELP = """\
settings are Hydra overrides, key=value; in a sweep several values stand between commas. Groups: framework, loop,
device, data, network, optimizer, lr_policy, budget, protocol, defaults, experiment.
`python -m bench.app --help` lists their options, `python -m bench.app --cfg job` every key."""

_WITH_SETTINGS = ("sweep", "run", "plan")
_VERBS = (*_WITH_SETTINGS, "report", "compare", "export", "import", "doctor")
_LEAST_MARGIN = 0.001
_COMPLETION = ("-sc", "--shell-completion", "--shell_completion")

_SWEEP_EXAMPLES = """\
examples:
  bench sweep
  bench sweep experiment=smoke
  bench sweep framework=pytorch,keras device=cpu batch_size=1,32,full loop=idiomatic,fastest
  bench sweep data=breast_cancer
  bench sweep data=file data.path=mine.csv data.target=label
  bench sweep framework=pytorch optimizer=sgd optimizer.lr=0.01,0.1 protocol.rounds=3
  bench sweep --resume results/latest
  bench sweep --resume results/latest --retry timeout protocol.timeout_s=1800"""

_RUN_EXAMPLES = """\
examples:
  bench run
  bench run framework=keras loop=compiled batch_size=full
  bench run framework=reference data=tutorial budget.epochs=3"""

_PLAN_EXAMPLES = """\
examples:
  bench plan
  bench plan experiment=tutorial
  bench plan framework=reference,pytorch device=cpu,gpu batch_size=1,32,full"""

_REPORT_EXAMPLES = f"""\
examples:
  bench report
  bench report {DEFAULT_FOLDER}"""

_COMPARE_EXAMPLES = """\
The first sweep is the baseline. Exit codes with --fail-on-regression: 3 where a regression beyond the margin is proven,
or a cell that the baseline measured fails in every run; 2 where no cell of a sweep could be judged, which takes 5 runs
on either side; else 0, and the size of loss that would have been found is printed.

examples:
  bench compare results/old results/new
  bench compare results/old results/new --fail-on-regression 5%
  bench compare results/old results/laptop results/server --output results/all-three"""

_FORMATS = ("pytest-benchmark",)
BENCHMARKS = "benchmarks.json"

_EXPORT_EXAMPLES = f"""\
examples:
  bench export --format pytest-benchmark
  bench export --format pytest-benchmark {DEFAULT_FOLDER} --output {BENCHMARKS}
then, for example: pytest-benchmark compare {BENCHMARKS} --group-by=group"""

_IMPORT_EXAMPLES = f"""\
examples:
  bench import --format pytest-benchmark {BENCHMARKS}
  bench import --format pytest-benchmark monday.json tuesday.json wednesday.json --output results/steps
Several files of one machine become the rounds of one sweep, in the order given."""

_DOCTOR_EXAMPLES = """\
examples:
  bench doctor"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] and given[0] in _COMPLETION:
        return _complete(given)
    parsed, rest = _parser().parse_known_args(given)
    try:
        return int(parsed.verb(parsed, rest))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Train the same two-layer network in PyTorch and Keras at every batch size, and compare.",
        epilog="examples:\n  bench sweep\n  bench plan\n  bench sweep --help\n\n"
        'completion in bash: eval "$(bench -sc install=bash)"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bench {bench.__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    sweep = _with_overrides(verbs, "sweep", "run the grid, round by round, and report on it", _SWEEP_EXAMPLES, _sweep)
    sweep.add_argument("--resume", metavar="DIR", help="go on with the sweep in this folder: run what has no record")
    sweep.add_argument(
        "--retry",
        metavar="STATUS,...",
        help="with --resume: runs that ended so are done again (oom, timeout, ..., or failed)",
    )
    _with_overrides(verbs, "run", "run one cell once", _RUN_EXAMPLES, _run)
    _with_overrides(verbs, "plan", "say what a sweep would run and how long it would take", _PLAN_EXAMPLES, _plan)
    report = _verb(verbs, "report", "rebuild tables, figures and report of a sweep", _REPORT_EXAMPLES, _report)
    report.add_argument("folder", nargs="?", default=DEFAULT_FOLDER, metavar="DIR", help=f"default: {DEFAULT_FOLDER}")
    _add_compare(verbs)
    _add_exchange(verbs)
    doctor = _verb(
        verbs, "doctor", "say what is installed, which devices work and what disturbs timing", _DOCTOR_EXAMPLES, _doctor
    )
    doctor.add_argument("--probe", action="store_true", help="really start every framework on every device")
    return parser


def _add_exchange(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    export = _verb(
        verbs, "export", "write a finished sweep as a file that other tools compare", _EXPORT_EXAMPLES, _export
    )
    export.add_argument("folder", nargs="?", default=DEFAULT_FOLDER, metavar="DIR", help=f"default: {DEFAULT_FOLDER}")
    export.add_argument("--format", required=True, choices=_FORMATS)
    export.add_argument("--output", type=Path, metavar="FILE", help=f"default: {BENCHMARKS} in the sweep's folder")
    import_ = _verb(
        verbs, "import", "make a sweep of what `bench export` or `make bench` wrote", _IMPORT_EXAMPLES, _import
    )
    import_.add_argument("files", nargs="+", type=Path, metavar="FILE")
    import_.add_argument("--format", required=True, choices=_FORMATS)
    import_.add_argument("--output", type=Path, metavar="DIR", help="default: results/imported-<its name>")


Verb = Callable[[argparse.Namespace, list[str]], int]


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, examples: str, call: Verb
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(verb=call)
    return parser


def _with_overrides(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str, examples: str, call: Verb
) -> argparse.ArgumentParser:
    parser = _verb(verbs, name, summary, f"{_OVERRIDES_HELP}\n\n{examples}", call)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings; see below")
    return parser


def _add_compare(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    summary = "compare sweeps, from this or other machines, with the first of them"
    compare = _verb(verbs, "compare", summary, _COMPARE_EXAMPLES, _compare)
    compare.add_argument("folders", nargs="+", metavar="DIR", help="the baseline's folder, then the others'")
    compare.add_argument("--output", metavar="DIR", help="where to write (default: compare-A-B beside the baseline)")
    compare.add_argument("--fail-on-regression", metavar="MARGIN", help="such as 5%%: exit 3 where more is proven lost")


def _sweep(parsed: argparse.Namespace, rest: list[str]) -> int:
    return _application(["--multirun", *parsed.overrides, *rest, *_resumed(parsed.resume, parsed.retry)])


def _resumed(folder: str | None, retry: str | None) -> list[str]:
    """The settings that ``--resume`` and ``--retry`` stand for."""
    if folder is None:
        if retry is None:
            return []
        raise UsageError(
            f"--retry {retry}: of which sweep?",
            "runs are retried in a sweep that has run them",
            f"for example bench sweep --resume {DEFAULT_FOLDER} --retry {retry}",
        )
    quoted = folder.replace("\\", "\\\\").replace("'", "\\'")
    return [f"sweep.resume='{quoted}'", *([] if retry is None else [f"sweep.retry=[{retry}]"])]


def _run(parsed: argparse.Namespace, rest: list[str]) -> int:
    return _application([*parsed.overrides, *rest])


def _plan(parsed: argparse.Namespace, rest: list[str]) -> int:
    return _application(["--multirun", *parsed.overrides, *rest, "sweep.dry_run=true"])


def _report(parsed: argparse.Namespace, rest: list[str]) -> int:
    _nothing_else(rest)
    from bench.report.build import build_report
    from bench.report.terminal import print_summary
    from bench.sweep.show import make_console

    folder = SweepFolder(Path(parsed.folder).resolve())
    build_report(folder)
    print_summary(folder, make_console())
    return 0


def _compare(parsed: argparse.Namespace, rest: list[str]) -> int:
    _nothing_else(rest)
    from bench.report.comparison import gate
    from bench.report.comparison.build import build_comparison
    from bench.report.comparison.terminal import print_comparison
    from bench.sweep.show import make_console

    wanted = parsed.fail_on_regression
    view, folder = build_comparison(
        [SweepFolder(Path(folder).resolve()) for folder in parsed.folders],
        output=Path(parsed.output) if parsed.output else None,
        regression_margin=None if wanted is None else regression_margin(wanted),
    )
    print_comparison(view, folder, make_console())
    code = gate.exit_code(view)
    if code == UsageError.exit_code:
        raise gate.unanswered(view)
    return code


def regression_margin(text: str) -> float:
    """The fraction that ``5%`` or ``0.05`` stands for.

    Raises:
        UsageError: it stands for none that can be a margin.
    """
    number, sign = (text[:-1], 100.0) if text.endswith("%") else (text, 1.0)
    try:
        margin = float(number) / sign
    except ValueError:
        margin = float("nan")
    if not _LEAST_MARGIN <= margin < 1:
        raise UsageError(
            f"--fail-on-regression {text} is no margin",
            "it is how much longer than in the baseline the same work may take, from 0.1% to below 100%",
            "write for example --fail-on-regression 5% or 0.05",
        )
    return margin


def _export(parsed: argparse.Namespace, rest: list[str]) -> int:
    _nothing_else(rest)
    from bench.report.exchange import export_benchmarks

    folder = SweepFolder(Path(parsed.folder).resolve())
    print(*export_benchmarks(folder, parsed.output or folder.path / BENCHMARKS), sep="\n")
    return 0


def _import(parsed: argparse.Namespace, rest: list[str]) -> int:
    _nothing_else(rest)
    from bench.report.exchange import import_files

    print(*import_files(parsed.files, parsed.output), sep="\n")
    return 0


def _doctor(parsed: argparse.Namespace, rest: list[str]) -> int:
    _nothing_else(rest)
    from bench.doctor import run_doctor
    from bench.sweep.show import make_console

    return run_doctor(make_console(), probe=parsed.probe)


def _application(arguments: list[str]) -> int:
    # Late: Hydra is not needed for `report`, `doctor` and `--help`.
    from bench import app

    return app.main(arguments)


def _complete(arguments: list[str]) -> int:
    """Answers the shell for ``bench VERB SETTINGS``: the verbs are ours, the settings Hydra's."""
    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    if len(words) > 2 or (len(words) == 2 and line.endswith(" ")):
        os.environ["COMP_LINE"] = line.replace(words[1], "", 1)
        return _application(arguments) if words[1] in _WITH_SETTINGS else 0
    if line:
        print(*_VERBS)
        return 0
    return _application(arguments)


def _nothing_else(rest: Sequence[str]) -> None:
    if rest:
        _parser().error(f"unrecognized arguments: {' '.join(rest)}")
