"""Everything the two templates print, as plain text ready to be escaped."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bench.analysis.compare import POWER, TIE_MARGIN
from bench.cell import ProtocolSpec
from bench.report import completeness, costs, life, noise, parity, precision, step_model, story
from bench.report import format as fmt
from bench.report.best import BestLine, best_lines
from bench.report.completeness import Ending, Matrix
from bench.report.costs import Cost
from bench.report.figures import BATCH_LOSS, NOISE, PARITY
from bench.report.gallery import Exhibit
from bench.report.noise import Noise
from bench.report.parity import Gate
from bench.report.precision import PrecisionNote
from bench.report.step_model import StepModel
from bench.report.story import Advice, Answer
from bench.report.view import View, budget_label, framework_label, workload_label

_MOST_FACTS = 80
_PROGRAM = "bench"
_TUTORIAL = "tutorial"
_ELSEWHERE = (BATCH_LOSS.name, PARITY.name, NOISE.name)
"""Figures with a section of their own."""
_PACKAGES = "packages"
_SPELLINGS = {
    "smt": "SMT", "cgroup cpus": "CPUs by control group", "cgroup memory": "memory by control group",
    "nvidia gpus": "NVIDIA GPUs", "python": "Python", "affinity": "may run on cores",
}  # fmt: skip


@dataclass(frozen=True)
class Page:
    """A report."""

    name: str
    created_at: str
    bench_version: str
    headline: str
    headlines_below: Sequence[str]
    scope: str
    answers: Sequence[Answer]
    advice: Sequence[Advice]
    left_out: str
    best: Sequence[BestLine]
    best_left_out: int
    status_counts: Sequence[tuple[str, str, int]]
    missing_runs: int
    to_finish: str
    history: str
    matrix: Matrix
    legend: Sequence[tuple[str, str, str]]
    absences: Sequence[tuple[str, str]]
    problems: Sequence[str]
    exhibits: Sequence[Exhibit]
    step_model: StepModel | None
    batch_loss: Exhibit
    same_training: Exhibit
    noise: Noise
    noise_shown: Exhibit
    noise_limits: Sequence[str]
    noise_rules: Mapping[str, str]
    parity: str
    gate: Gate | None
    tie_margin: str
    power: str
    numeric_flags: Sequence[tuple[str, str]]
    is_tutorial: bool
    protocol: ProtocolSpec
    rounds: int
    precision: PrecisionNote | None
    workloads: Sequence[str]
    memory_sources: Sequence[tuple[str, str]]
    costs: Sequence[Cost]
    phases: Sequence[str]
    overhead: str
    machine: Sequence[tuple[str, str]]
    software: Sequence[tuple[str, str]]
    git: str
    command: str
    failures: Sequence[Ending]
    failures_left_out: int
    misses: Sequence[Ending]
    misses_left_out: int


def page_of(view: View, shown: Sequence[Exhibit]) -> Page:
    """The report of a sweep."""
    sweep = view.sweep
    failures, failures_left_out = completeness.endings(view, failed=True)
    best, best_left_out = best_lines(view)
    misses, misses_left_out = completeness.endings(view, failed=False)
    headline, *headlines_below = story.headlines(view)
    return Page(
        name=fmt.one_line(sweep.name),
        created_at=fmt.one_line(sweep.created_at),
        bench_version=fmt.one_line(sweep.bench_version),
        headline=headline,
        headlines_below=headlines_below,
        scope=_scope(view),
        answers=story.answers(view),
        advice=story.advice(view),
        left_out=story.left_out(view),
        best=best,
        best_left_out=best_left_out,
        status_counts=completeness.status_counts(view),
        missing_runs=completeness.missing_runs(view),
        to_finish=life.to_finish(view),
        history=life.history(view),
        matrix=completeness.matrix(view),
        legend=completeness.legend(view),
        absences=completeness.absences(view),
        problems=[fmt.one_line(problem, fmt.REASON_LENGTH) for problem in view.tables.problems],
        exhibits=[exhibit for exhibit in shown if exhibit.name not in _ELSEWHERE],
        step_model=step_model.step_model(view),
        batch_loss=_named(shown, BATCH_LOSS.name),
        same_training=_named(shown, PARITY.name),
        noise=noise.noise_of(view),
        noise_shown=_named(shown, NOISE.name),
        noise_limits=noise.limits(),
        noise_rules=noise.rules(),
        parity=parity.summary(view),
        gate=parity.gate(view),
        tie_margin=fmt.stated_percent(TIE_MARGIN),
        power=fmt.stated_percent(POWER),
        numeric_flags=parity.flags(view),
        is_tutorial=any(plan["data"]["name"] == _TUTORIAL for plan in view.plans.values()),
        protocol=_protocol(view),
        rounds=len(sweep.rounds),
        precision=precision.note(view),
        workloads=_workloads(view),
        memory_sources=_memory_sources(view),
        costs=costs.costs(view),
        phases=costs.phase_names(),
        overhead=costs.overhead(view),
        machine=list(fact_rows(sweep.machine)),
        software=list(fact_rows(sweep.software)),
        git=git_words(sweep.git),
        command=fmt.one_line(shlex.join(_as_typed(sweep.command)), fmt.REASON_LENGTH),
        failures=failures,
        failures_left_out=failures_left_out,
        misses=misses,
        misses_left_out=misses_left_out,
    )


def _named(shown: Sequence[Exhibit], name: str) -> Exhibit:
    return next(exhibit for exhibit in shown if exhibit.name == name)


def _scope(view: View) -> str:
    """How much was asked: cells, rounds, runs."""
    cells, rounds, runs = len(view.cells), len(view.sweep.rounds), int(view.cells["n_planned"].sum())
    controls = len(view.tables.controls.cells)
    beside = f", {fmt.plural(controls, 'control')} beside them" if controls else ""
    return f"{fmt.plural(cells, 'cell')}, {fmt.plural(rounds, 'round')}, {fmt.plural(runs, 'run')} planned{beside}"


def _protocol(view: View) -> ProtocolSpec:
    first = next(iter(view.plans.values()), None)
    return ProtocolSpec(**first["protocol"]) if first else ProtocolSpec()


def _workloads(view: View) -> list[str]:
    described = {f"{workload_label(plan)}; {budget_label(plan)}" for plan in view.plans.values()}
    return sorted(described)[:20]


def _memory_sources(view: View) -> list[tuple[str, str]]:
    """Per framework: where its allocator's figure comes from, or why there is none."""
    rows: dict[str, set[str]] = {}
    for _, row in view.cells[view.cells["measured"]].iterrows():
        backend = None if fmt.is_missing(row["backend"]) else str(row["backend"])
        said = row["device_peak_reason"] if fmt.is_missing(row["device_peak_source"]) else row["device_peak_source"]
        rows.setdefault(framework_label(str(row["framework"]), backend), set()).add(fmt.one_line(said, 160))
    return [(name, "; ".join(sorted(said)[:3])) for name, said in sorted(rows.items())]


def fact_rows(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as rows of name and text: a null with its reason, and those without one in a row of their own."""
    absent = []
    for name, value in list(values.items())[:_MOST_FACTS]:
        reason = values.get(f"{name}_reason")
        if isinstance(value, Mapping):
            yield from fact_rows(value, "" if name == _PACKAGES else f"{prefix}{name} ")
        elif value is None and reason is None:
            absent.append(name)
        elif value is None:
            yield _words(prefix + name), fmt.one_line(f"{fmt.MISSING} ({reason})", fmt.REASON_LENGTH)
        elif not (name.endswith("_reason") and name.removesuffix("_reason") in values):
            yield _words(prefix + name), _fact(name, value)
    absent = [name for name in absent if not name.endswith("_reason")]
    if absent:
        yield f"{prefix}not there".strip(), fmt.one_line(", ".join(absent), fmt.REASON_LENGTH)


def _fact(name: str, value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return fmt.one_line(", ".join(map(str, value)) or "none", fmt.REASON_LENGTH)
    if name.endswith("_bytes") and isinstance(value, (int, float)):
        return fmt.memory(value)
    if name.endswith("_mhz") and isinstance(value, (int, float)):
        return f"{fmt.count(value)} MHz"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return fmt.one_line(value, fmt.REASON_LENGTH)


def _words(name: str) -> str:
    plain = fmt.one_line(name.removesuffix("_bytes").removesuffix("_mhz").replace("_", " "))
    return _SPELLINGS.get(plain, plain)


def _as_typed(command: Sequence[str]) -> list[str]:
    """The command without where this machine keeps its interpreter and program."""
    words = list(command)
    if len(words) > 1 and PurePath(words[0]).name.startswith("python") and PurePath(words[1]).name == _PROGRAM:
        return [_PROGRAM, *words[2:]]
    return words


def git_words(state: Mapping[str, Any] | None) -> str:
    """The commit a sweep was made from, and whether that is all there is to say."""
    if not state:
        return "not from a checkout"
    commit = fmt.one_line(state.get("commit"), 40)
    return f"{commit}, with changes that were not committed" if state.get("dirty") else commit
