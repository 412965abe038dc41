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
from bench.report.starting import cost_of_start
from bench.report.view import Family, View, device_label

_MOST_ANSWERS = 12
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
    """All questions, for every device and workload."""
    findings = view.verdict.findings
    several = len({(finding.device, finding.workload) for finding in findings}) > 1
    return [_answer(view, finding, several=several) for finding in findings[:_MOST_ANSWERS]]


def advice(view: View) -> list[Advice]:
    """What to do, for every device and workload."""
    several = len(view.verdict.recommendations) > 1
    return [_advised(view, found, several=several) for found in view.verdict.recommendations[: _MOST_ANSWERS // 3]]


def headline(view: View) -> str:
    """The verdict in one or two sentences, on the first device and workload where there are several."""
    recommendations = view.verdict.recommendations
    if not recommendations:
        return _NOTHING
    first = recommendations[0]
    here = [f for f in view.verdict.findings if (f.device, f.workload) == (first.device, first.workload)]
    decided = [f for f in here if f.winner is not None and f.kind in _HEADLINES]
    where = f"{_setting(first.device, first.workload)}: " if len(recommendations) > 1 else ""
    return where + " ".join(_headline(view, finding, finding.winner) for finding in decided if finding.winner)


def _headline(view: View, finding: Finding, winner: Choice) -> str:
    """Without intervals, which the answers below it have; the digits shown respect them all the same."""
    rival = finding.other_framework
    known = rival is not None and rival.ratio is not None
    lead = f", {_short_lead(view, finding, rival)}" if rival is not None and known else ""
    text = fmt.samples_per_s if finding.kind == FASTEST_PER_SAMPLE else fmt.duration
    value = _marked(view, finding, text(winner.value, winner.low, winner.high))
    return f"{choice_label(view, winner)} {_HEADLINES[finding.kind]}: {value}{lead}."


def _short_lead(view: View, finding: Finding, rival: Rival) -> str:
    if _ties_with(rival):
        return _equal(rival, choice_label(view, rival.choice))
    ratio = _marked(view, finding, fmt.ratio(rival.ratio, rival.low, rival.high), rival)
    if rival.low is None and rival.ratio is not None and rival.ratio < 1 + TIE_MARGIN:
        return f"about as good as {choice_label(view, rival.choice)}, in too few rounds to be sure"
    if rival.low is None:
        return f"about {ratio} {_BETTER[finding.kind]} {choice_label(view, rival.choice)}, in too few rounds to be sure"
    return f"{ratio} {_BETTER[finding.kind]} {choice_label(view, rival.choice)}"


def _equal(rival: Rival, name: str) -> str:
    """How the winner stands to one that it does not clearly beat."""
    if rival.verdict == TIE:
        return f"tied with {name}"
    return f"not clearly better than {name}{_settling([rival], ' (', ')')}"


def _settling(rivals: Sequence[Rival], before: str, after: str = "") -> str:
    """``about 12 more rounds would settle it``, ``about 4 to 12 more rounds would settle each``; empty if none is open.

    Args:
        rivals: the open ones count.
        before: put before it.
        after: put after it.
    """
    missing = [rival.more_rounds for rival in rivals if rival.more_rounds is not None]
    if not missing:
        return ""
    return f"{before}{fmt.more_rounds(*missing)} would settle {'it' if len(missing) == 1 else 'each'}{after}"


def choice_label(view: View, choice: Choice) -> str:
    """``PyTorch eager at batch 32``, ``Keras compiled at batch full (1,000)``."""
    setting = view.setting_of(choice.cell_id)
    label = f"{Family(choice.framework, choice.backend, choice.loop).label} at batch {_size(choice)}"
    return f"{label} ({setting})" if setting else label


def value_label(kind: str, choice: Choice) -> str:
    """A choice's value and interval in the unit of the question."""
    if kind == FASTEST_PER_SAMPLE:
        return fmt.samples_per_s_interval(choice.value, choice.low, choice.high)
    if kind == FASTEST_TO_TARGET:
        return fmt.duration_interval(choice.value, choice.low, choice.high)
    return fmt.memory(choice.value)


def _answer(view: View, finding: Finding, *, several: bool) -> Answer:
    question = _QUESTIONS[finding.kind] + (f" · {_setting(finding.device, finding.workload)}" if several else "")
    if finding.winner is None:
        return Answer(question, reason=fmt.one_line(finding.reason, fmt.REASON_LENGTH))
    # A runner-up that is tied with the winner is named among the ties.
    ahead_of = None if finding.runner_up in finding.tied_with else finding.runner_up
    rivals = [rival for rival in (finding.other_framework, ahead_of) if rival is not None]
    leads = list(dict.fromkeys(_lead(view, finding, rival) for rival in rivals))
    return Answer(
        question,
        winner=choice_label(view, finding.winner),
        value=_marked(view, finding, _value(finding)),
        lead=_sentence("; ".join(leads)),
        ties=_ties(view, finding),
        start="" if finding.kind == SMALLEST_MEMORY else cost_of_start(view, finding.winner.cell_id),
    )


def _advised(view: View, found: Recommendation, *, several: bool) -> Advice:
    where = f"For {_setting(found.device, found.workload)}: use" if several else "Use"
    finding, choice = found.based_on, found.choice
    value = _marked(view, finding, _value(finding))
    gains = {
        FASTEST_TO_TARGET: f"it reached the target loss soonest, in {value} of training",
        FASTEST_PER_SAMPLE: f"it trained the most samples per second, {value}",
    }
    rival = finding.other_framework
    equal = _no_worse(rival, choice_label(view, rival.choice)) if rival is not None and _ties_with(rival) else ""
    text = f"{where} {choice_label(view, choice)}: {gains[finding.kind]}{_rounds_reached(view, choice)}.{equal}"
    return Advice(text, [_sentence(fmt.one_line(caveat.text, fmt.REASON_LENGTH)) for caveat in found.caveats])


def _no_worse(rival: Rival, name: str) -> str:
    if rival.verdict == TIE:
        return f" {name} ties with it."
    return f" {name} is not clearly worse{_settling([rival], ': ')}."


def _rounds_reached(view: View, choice: Choice) -> str:
    """Where the choice missed the target in a run, said beside it."""
    cell = view.cells[view.cells["cell_id"] == choice.cell_id].iloc[0]
    reached, measured = int(cell["n_reached"]), int(cell["n_measured"])
    return f", reached in {reached} of {fmt.plural(measured, 'run')}" if 0 < reached < measured else ""


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
    other = choice_label(view, rival.choice)
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
        _named(view, "Not clearly better than", others, _settling(others, ": ")),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _named(view: View, head: str, rivals: Sequence[Rival], tail: str = "") -> str:
    if not rivals:
        return ""
    names = [choice_label(view, rival.choice) for rival in rivals] if len(rivals) <= _MOST_TIES else _families(rivals)
    return f"{head} {fmt.listed(names)}{tail}."


def _families(tied: Sequence[Rival]) -> list[str]:
    """Many ties in short: how many cells of each framework and loop."""
    counts = Counter(Family(r.choice.framework, r.choice.backend, r.choice.loop).label for r in tied)
    return [f"{fmt.plural(number, 'cell')} of {label}" for label, number in counts.items()]


def _ties_with(rival: Rival) -> bool:
    return rival.low is not None and not rival.beaten


def _setting(device: str, workload: str) -> str:
    return f"{device_label(device)}, {fmt.one_line(workload)}"


def _size(choice: Choice) -> str:
    size = fmt.count(choice.batch_size)
    return f"full ({size})" if choice.batch_size_label == "full" else size


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
