"""The verdict in words: who is fastest, who is smallest, by how much, who ties, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.compare import INCONCLUSIVE, TIE, TIE_MARGIN
from bench.analysis.verdict import (
    FASTEST_PER_SAMPLE,
    FASTEST_TO_TARGET,
    SMALLEST_MEMORY,
    Choice,
    Finding,
    Recommendation,
    Rival,
)
from bench.report import format as fmt
from bench.report.devices import device_lead
from bench.report.once import to_train_once
from bench.report.phrases import ahead, cell_label, settling
from bench.report.starting import cost_of_start, uncounted
from bench.report.view import Family, View, device_label

_MOST_SETTINGS = 4
"""Devices and workloads that are told of; the rest is in the tables."""
_MOST_TIES = 3

_QUESTIONS = {
    FASTEST_PER_SAMPLE: "Fastest per sample",
    FASTEST_TO_TARGET: "Fastest to the target loss",
    SMALLEST_MEMORY: "Smallest in memory",
}
_BETTER = {FASTEST_PER_SAMPLE: "as fast as", FASTEST_TO_TARGET: "as fast as", SMALLEST_MEMORY: "less than"}
_HEADLINES = {
    FASTEST_PER_SAMPLE: "trains the most samples per second",
    FASTEST_TO_TARGET: "is first at the target loss",
}
_NOTHING = "No run of this sweep was measured: see below what became of each."


@dataclass(frozen=True)
class Answer:
    """One question answered.

    Attributes:
        question: such as ``Fastest per sample``, with the setting where there are several.
        winner: framework, loop and batch size; empty where there is none.
        value: what it reached, with its interval.
        lead: how it stands to the runner-up and the best of another framework.
        ties: whom it does not clearly beat; empty where it beats all.
        start: what its first step costs and when that is paid for, where it compiles.
        reason: why there is no winner.
    """

    question: str
    winner: str = ""
    value: str = ""
    lead: str = ""
    ties: str = ""
    start: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Advice:
    """What to do on one device and workload, and what to keep in mind."""

    text: str
    caveats: Sequence[str]


def answers(view: View) -> list[Answer]:
    """All questions, for every device and workload told of."""
    several = len(_settings(view)) > 1
    told = [finding for setting in _told_of(view) for finding in view.verdict.findings if _of(finding) == setting]
    return [_answer(view, finding, several=several) for finding in told]


def advice(view: View) -> list[Advice]:
    """What to do, for every device and workload told of."""
    several = len(view.verdict.recommendations) > 1
    told = [found for setting in _told_of(view) for found in view.verdict.recommendations if _of(found) == setting]
    return [_advised(view, found, several=several) for found in told]


def left_out(view: View) -> str:
    """``And 2 more settings (of device and workload) in the tables.``; empty where all are told of."""
    more = len(_settings(view)) - _MOST_SETTINGS
    return f"And {fmt.plural(more, 'more setting')} (of device and workload) in the tables." if more > 0 else ""


def headlines(view: View) -> list[str]:
    """The verdict in one line; on several devices or workloads which device is fastest, then a line for each."""
    workloads = list(dict.fromkeys(lead.workload for lead in view.device_leads))[:_MOST_SETTINGS]
    lines = [
        *(_over_devices(view, workload) for workload in workloads),
        *(_headlines_of(view, setting) for setting in _told_of(view)),
    ]
    return [line for line in lines if line] or [_NOTHING]


def headline(view: View) -> str:
    """The first line of the verdict, which is all of it on one device and workload."""
    return headlines(view)[0]


def _of(found: Finding | Recommendation) -> tuple[str, str]:
    return found.device, found.workload


def _settings(view: View) -> list[tuple[str, str]]:
    """Devices and workloads with findings, by workload, the best device first (to the target, where that is known)."""
    best_first = {lead.workload: lead.devices for lead in view.device_leads}  # to the target is asked last
    found = dict.fromkeys(_of(finding) for finding in view.verdict.findings)
    return sorted(found, key=lambda pair: (pair[1], best_first[pair[1]].index(pair[0]) if pair[1] in best_first else 0))


def _told_of(view: View) -> list[tuple[str, str]]:
    return _settings(view)[:_MOST_SETTINGS]


def _headlines_of(view: View, setting: tuple[str, str]) -> str:
    """The best of one device and workload, named where there are several; empty where it has none."""
    here = [finding for finding in view.verdict.findings if _of(finding) == setting and finding.kind in _HEADLINES]
    said = [_headline(view, finding, finding.winner) for finding in here if finding.winner is not None]
    where = f"{_setting(view, *setting)}: " if len(_settings(view)) > 1 else ""
    return where + " ".join(said) if said else ""


def _over_devices(view: View, workload: str) -> str:
    """Which device is fastest on a workload, per sample and to the target."""
    several = len({finding.workload for finding in view.verdict.findings}) > 1
    said = [device_lead(view, lead) for lead in view.device_leads if lead.workload == workload]
    return (f"{fmt.one_line(workload)}: " if several else "") + " ".join(said)


def _headline(view: View, finding: Finding, winner: Choice) -> str:
    """Without intervals, which the answers below it have; the digits shown respect them all the same."""
    rival = finding.other_framework
    known = rival is not None and rival.ratio is not None
    lead = f", {_short_lead(view, finding, rival)}" if rival is not None and known else ""
    text = fmt.samples_per_s if finding.kind == FASTEST_PER_SAMPLE else fmt.duration
    value = _marked(view, finding, text(winner.value, winner.low, winner.high))
    return f"{cell_label(view, winner.cell_id)} {_HEADLINES[finding.kind]}: {value}{lead}{_first_step(view, finding)}."


def _first_step(view: View, finding: Finding) -> str:
    """What a time to the target leaves out, where that is much."""
    if finding.winner is None or finding.kind != FASTEST_TO_TARGET:
        return ""
    return uncounted(view, finding.winner.cell_id, finding.winner.value)


def _short_lead(view: View, finding: Finding, rival: Rival) -> str:
    other = cell_label(view, rival.choice.cell_id)
    if _ties_with(rival):
        return _equal(rival, other)
    ratio = _marked(view, finding, fmt.ratio(rival.ratio, rival.low, rival.high), rival)
    if rival.low is None and not ahead(rival):
        return f"about as good as {other}, in too few rounds to be sure"
    if rival.low is None:
        return f"about {ratio} {_BETTER[finding.kind]} {other}, in too few rounds to be sure"
    return f"{ratio} {_BETTER[finding.kind]} {other}"


def _equal(rival: Rival, name: str) -> str:
    """How the winner stands to one that it does not clearly beat."""
    if rival.verdict == TIE:
        return f"tied with {name}"
    return f"not clearly better than {name}{settling([rival], ' (', ')')}"


def value_label(kind: str, choice: Choice) -> str:
    """A choice's value and interval in the unit of the question."""
    if kind == FASTEST_PER_SAMPLE:
        return fmt.samples_per_s_interval(choice.value, choice.low, choice.high)
    if kind == FASTEST_TO_TARGET:
        return fmt.duration_interval(choice.value, choice.low, choice.high)
    return fmt.memory(choice.value)


def _answer(view: View, finding: Finding, *, several: bool) -> Answer:
    question = _QUESTIONS[finding.kind] + (f" · {_setting(view, *_of(finding))}" if several else "")
    if finding.winner is None:
        return Answer(question, reason=fmt.one_line(finding.reason, fmt.REASON_LENGTH))
    # A runner-up that is tied with the winner is named among the ties.
    ahead_of = None if finding.runner_up in finding.tied_with else finding.runner_up
    rivals = [rival for rival in (finding.other_framework, ahead_of) if rival is not None]
    leads = list(dict.fromkeys(_lead(view, finding, rival) for rival in rivals))
    return Answer(
        question,
        winner=cell_label(view, finding.winner.cell_id),
        value=_marked(view, finding, _value(finding)),
        lead=_sentence("; ".join(leads)),
        ties=_ties(view, finding),
        start="" if finding.kind == SMALLEST_MEMORY else cost_of_start(view, finding.winner.cell_id),
    )


def _advised(view: View, found: Recommendation, *, several: bool) -> Advice:
    where = f"For {_setting(view, *_of(found))}: use" if several else "Use"
    finding, choice = found.based_on, found.choice
    value = _marked(view, finding, _value(finding))
    gains = {
        FASTEST_TO_TARGET: f"it reached the target loss soonest, in {value} of training{_first_step(view, finding)}",
        FASTEST_PER_SAMPLE: f"it trained the most samples per second, {value}",
    }
    rival = finding.other_framework
    equal = _no_worse(rival, cell_label(view, rival.choice.cell_id)) if rival is not None and _ties_with(rival) else ""
    text = f"{where} {cell_label(view, choice.cell_id)}: {gains[finding.kind]}{_rounds_reached(view, choice)}."
    once = "" if finding.kind != FASTEST_TO_TARGET else to_train_once(view, found)
    caveats = [_sentence(fmt.one_line(caveat.text, fmt.REASON_LENGTH)) for caveat in found.caveats]
    return Advice(f"{text}{equal}{once}", caveats)


def _no_worse(rival: Rival, name: str) -> str:
    if rival.verdict == TIE:
        return f" {name} ties with it."
    return f" {name} is not clearly worse{settling([rival], ': ')}."


def _rounds_reached(view: View, choice: Choice) -> str:
    """Where the choice missed the target in a run, said beside it."""
    cell = view.cells[view.cells["cell_id"] == choice.cell_id].iloc[0]
    reached, missed = int(cell["n_reached"]), int(cell["n_censored"])
    return f", reached in {reached} of {fmt.plural(reached + missed, 'run')}" if reached and missed else ""


def _value(finding: Finding) -> str:
    if finding.winner is None:
        return fmt.MISSING
    if finding.kind == SMALLEST_MEMORY:
        what = "for the whole process" if finding.quantity == "peak_rss_bytes" else "on the device"
        return f"{value_label(finding.kind, finding.winner)} {what}"
    return value_label(finding.kind, finding.winner)


def _marked(view: View, finding: Finding, text: str, rival: Rival | None = None) -> str:
    """The text with its mark where a run of the winner, or of the rival it is set against, was not steady."""
    choices = [finding.winner, None if rival is None else rival.choice]
    entered = {choice.cell_id for choice in choices if choice is not None}
    return fmt.marked(text, finding.kind != SMALLEST_MEMORY and bool(entered & view.unsteady))


def _lead(view: View, finding: Finding, rival: Rival) -> str:
    other = cell_label(view, rival.choice.cell_id)
    if rival.ratio is None:
        return f"not comparable with {other}, which no round measured beside it"
    if finding.kind == SMALLEST_MEMORY:
        return f"against {fmt.memory(rival.choice.value)} for {other}"
    ratio = _marked(view, finding, fmt.ratio_interval(rival.ratio, rival.low, rival.high), rival)
    once = "" if rival.low is not None else f" ({fmt.plural(rival.n, 'round')}, no interval)"
    word = {TIE: ", a tie", INCONCLUSIVE: ", not settled"}.get(rival.verdict, "") if rival.low is not None else ""
    return f"{ratio} {_BETTER[finding.kind]} {other}{once}{word}"


def _ties(view: View, finding: Finding) -> str:
    """Whom the winner does not clearly beat: those certainly equal, and those the rounds leave open."""
    if finding.kind == SMALLEST_MEMORY:
        return _named(view, "About as small, in the one run that measured each:", finding.tied_with)
    equal = [rival for rival in finding.tied_with if rival.verdict == TIE]
    others = [rival for rival in finding.tied_with if rival.verdict != TIE]
    sentences = [
        _named(view, f"Tied within {fmt.stated_percent(TIE_MARGIN)} with", equal),
        _named(view, "Not clearly better than", others, settling(others, ": ")),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _named(view: View, head: str, rivals: Sequence[Rival], tail: str = "") -> str:
    if not rivals:
        return ""
    few = len(rivals) <= _MOST_TIES
    names = [cell_label(view, rival.choice.cell_id) for rival in rivals] if few else _families(rivals)
    return f"{head} {fmt.listed(names)}{tail}."


def _families(tied: Sequence[Rival]) -> list[str]:
    """Many ties in short: how many cells of each framework and loop."""
    counts = Counter(Family(r.choice.framework, r.choice.backend, r.choice.loop).label for r in tied)
    return [f"{fmt.plural(number, 'cell')} of {label}" for label, number in counts.items()]


def _ties_with(rival: Rival) -> bool:
    return rival.low is not None and not rival.beaten


def _setting(view: View, device: str, workload: str) -> str:
    """The device, and the workload where there are several."""
    several = len({finding.workload for finding in view.verdict.findings}) > 1
    return f"{device_label(device)}, {fmt.one_line(workload)}" if several else device_label(device)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
