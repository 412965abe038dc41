"""One file per figure; ``FIGURES`` are those of the report, in its order."""

from bench.report.figures.base import FigureKind
from bench.report.figures.batch_loss import BATCH_LOSS
from bench.report.figures.loss_curves import LOSS_CURVES
from bench.report.figures.memory import MEMORY
from bench.report.figures.noise import NOISE
from bench.report.figures.parity import PARITY
from bench.report.figures.payoff import PAYOFF
from bench.report.figures.ratio import RATIO
from bench.report.figures.steadiness import STEADINESS
from bench.report.figures.step_time import STEP_TIME
from bench.report.figures.target import TARGET
from bench.report.figures.throughput import THROUGHPUT

FIGURES: tuple[FigureKind, ...] = (
    THROUGHPUT, RATIO, STEP_TIME, PAYOFF, TARGET, LOSS_CURVES, MEMORY, STEADINESS, BATCH_LOSS, PARITY, NOISE,
)  # fmt: skip

__all__ = ["BATCH_LOSS", "FIGURES", "NOISE", "PARITY", "FigureKind"]
