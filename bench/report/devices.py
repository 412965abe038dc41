"""Which device is fastest and by how much, in sentences."""

from __future__ import annotations

from bench.analysis.compare import TIE
from bench.analysis.device_leads import DeviceLead
from bench.analysis.verdict import FASTEST_PER_SAMPLE, FASTEST_TO_TARGET, Rival
from bench.report import format as fmt
from bench.report.phrases import ahead, cell_label, settling
from bench.report.starting import uncounted
from bench.report.view import View, device_label

_QUESTIONS = {FASTEST_PER_SAMPLE: "per sample", FASTEST_TO_TARGET: "to the target loss"}
_ALONE = {FASTEST_PER_SAMPLE: "was timed", FASTEST_TO_TARGET: "reached the target loss reliably"}


def device_lead(view: View, lead: DeviceLead) -> str:
    """``GPU is fastest per sample: X on the GPU, 6.1× (5.9× to 6.3×) as fast as the best of the CPU, Y.``."""
    device = device_label(lead.winner.device)
    if not lead.rivals:
        return f"Only the {device} {_ALONE[lead.kind]}."
    best = f"{cell_label(view, lead.winner.cell_id)} on the {device}"
    against = "; ".join(_against(view, lead, rival) for rival in lead.rivals)
    return f"{_outcome(lead)} {_QUESTIONS[lead.kind]}: {best}, {against}{_left_out(view, lead)}."


def _outcome(lead: DeviceLead) -> str:
    device, unbeaten = device_label(lead.winner.device), [rival for rival in lead.rivals if not rival.beaten]
    if not unbeaten:
        return f"{device} is fastest"
    if all(rival.verdict == TIE for rival in unbeaten):
        return f"{device} ties with {fmt.listed([device_label(rival.choice.device) for rival in unbeaten])}"
    if all(rival.low is None and ahead(rival) for rival in unbeaten):
        return f"{device} seems fastest"
    return "No device is clearly fastest"


def _against(view: View, lead: DeviceLead, rival: Rival) -> str:
    best = f"the best of the {device_label(rival.choice.device)}, {cell_label(view, rival.choice.cell_id)}"
    if rival.ratio is None:
        return f"not comparable with {best}, which no round measured beside it"
    unsteady = {lead.winner.cell_id, rival.choice.cell_id} & view.unsteady
    if rival.low is not None:
        ratio = fmt.marked(fmt.ratio_interval(rival.ratio, rival.low, rival.high), unsteady)
        return f"{ratio} as fast as {best}{settling([rival], ' (', ')')}"
    much = f"about {fmt.marked(fmt.ratio(rival.ratio), unsteady)} as fast as" if ahead(rival) else "about as fast as"
    return f"{much} {best}, in too few rounds to be sure"


def _left_out(view: View, lead: DeviceLead) -> str:
    """That first steps are not counted, where one of them is much beside its time to the target."""
    choices = [lead.winner, *(rival.choice for rival in lead.rivals)]
    much = lead.kind == FASTEST_TO_TARGET and any(uncounted(view, c.cell_id, c.value) for c in choices)
    return ", first steps not counted" if much else ""
