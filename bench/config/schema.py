"""Every setting there is: its name, its default and its rule. ``conf/`` holds the same names, grouped into files."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.config.rules import (
    LONGEST_S,
    at_least,
    between,
    choice,
    either,
    flag,
    folder_name,
    integer,
    optional,
    positive,
    seconds,
    setting,
    some_of,
    text,
    words,
)
from bench.records import MOST_ROUNDS, Status

FRAMEWORKS = ("pytorch", "keras", "reference")
BACKENDS = ("tensorflow", "jax", "torch")
LOOPS = ("idiomatic", "eager", "compiled", "fused", "fastest")
DEVICES = ("cpu", "gpu", "tpu")
DATA = ("teacher", "tutorial", "breast_cancer", "file")
FAILED = "failed"
RETRIABLE = (*(status for status in Status if not status.measured and status is not Status.INTERRUPTED), FAILED)
"""How a run may have ended that is to be done again; ``failed`` is every way that makes the exit code 3."""
MAX_ROWS = 10_000_000
MAX_FEATURES = 100_000
FIRST_LOOK = 10
"""Rounds before anything is stopped for being precise; ``bench.plan.rounds`` says why not sooner."""
MOST_RATE = 1e30
"""Far beyond any use, and within float32."""
# The seeds of all frameworks are unsigned 32-bit numbers at least.
MAX_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class FrameworkConfig:
    """Which framework; Keras runs on a named backend; ``python`` is the interpreter of its workers."""

    name: str = setting("pytorch", choice(*FRAMEWORKS))
    backend: str | None = setting(None, optional(choice(*BACKENDS)))
    python: str | None = setting(None, optional(text()))


@dataclass(frozen=True, kw_only=True)
class InterpretersConfig:
    """The interpreter of each framework's workers, where they cannot share one; null is the harness's own."""

    pytorch: str | None = setting(None, optional(text()))
    keras: str | None = setting(None, optional(text()))
    reference: str | None = setting(None, optional(text()))


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How the training loop is written; ``fastest`` is the fastest loop that the framework has here."""

    name: str = setting("eager", choice(*LOOPS))


@dataclass(frozen=True, kw_only=True)
class DeviceConfig:
    """Where it trains."""

    name: str = setting("cpu", choice(*DEVICES))


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What it trains on.

    ``n`` is the number of training rows of generated data; its validation rows come on top, so that they make up the
    fraction ``validation`` of all rows. Stored data is split by that fraction.
    """

    name: str = setting("teacher", choice(*DATA))
    n: int = setting(1000, integer(1, MAX_ROWS))
    features: int = setting(20, integer(1, MAX_FEATURES))
    noise: float = setting(0.05, between(0, 1))
    distribution: str = setting("normal", choice("normal", "uniform"))
    shuffle: bool = setting(True, flag())
    validation: float = setting(0.2, between(0, 0.9))
    standardise: bool = setting(True, flag())
    path: str | None = setting(None, optional(text()))
    target: str | None = setting(None, optional(text()))


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The width of the hidden layer and the precision of all of it."""

    hidden: int = setting(64, integer(1, 1_000_000))
    dtype: str = setting("float32", choice("float32", "float64"))


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights move; what an optimizer has no use for is not looked at."""

    name: str = setting("adam", choice("sgd", "momentum", "adam"))
    lr: float = setting(1e-3, positive(MOST_RATE))
    momentum: float = setting(0.9, between(0, 1, with_high=False))
    beta1: float = setting(0.9, between(0, 1, with_high=False))
    beta2: float = setting(0.999, between(0, 1, with_high=False))
    epsilon: float = setting(1e-8, positive(MOST_RATE))


@dataclass(frozen=True, kw_only=True)
class LrPolicyConfig:
    """How the learning rate follows the batch size."""

    name: str = setting("constant", choice("constant", "linear", "sqrt"))
    base_batch_size: int = setting(32, integer(1, MAX_ROWS))


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """How long it trains and which training loss it is asked to reach."""

    epochs: int = setting(10, integer(1, 1_000_000))
    target_fraction: float = setting(0.5, between(0, 1, with_low=False))
    target_epochs: int = setting(50, integer(1, 1_000_000))
    target_batch_size: int = setting(32, integer(1, MAX_ROWS))


@dataclass(frozen=True, kw_only=True)
class ProtocolConfig:
    """How it is measured.

    ``precision`` is the relative half-width of the 95 % intervals for which rounds are added to ``rounds``, until
    ``max_rounds`` are done or the sweep's ``budget_s`` is spent; null adds none. ``precision_of`` is whose: ``cells``
    or ``comparisons``. These belong to the sweep, as ``rounds`` does, and to no cell.
    """

    rounds: int = setting(5, integer(1, MOST_ROUNDS))
    isolation: str = setting("auto", choice("auto", "fork", "spawn"))
    threads: int = setting(1, integer(1, 4096))
    timeout_s: float = setting(600.0, seconds())
    stall_s: float = setting(120.0, seconds())
    steady_min_s: float = setting(0.3, at_least(0, LONGEST_S))
    steady_min_epochs: int = setting(3, integer(1, 1_000_000))
    steady_max_s: float = setting(10.0, seconds())
    memory: bool = setting(True, flag())
    parity_steps: int = setting(50, integer(0, 10_000))
    control: bool = setting(True, flag())
    precision: float | None = setting(None, optional(between(0, 1, with_low=False, with_high=False)))
    precision_of: str = setting("cells", choice("cells", "comparisons"))
    max_rounds: int | None = setting(None, optional(integer(1, MOST_ROUNDS)))
    budget_s: float | None = setting(None, optional(seconds()))


@dataclass(frozen=True, kw_only=True)
class DefaultsConfig:
    """``pinned``: the same arithmetic everywhere; ``framework``: what each framework's tutorial gives."""

    name: str = setting("pinned", choice("pinned", "framework"))


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Where results go and what a sweep insists on.

    ``name`` null makes one from the time. ``require`` lists frameworks, backends, loops or devices that must be there.
    ``skip_after_oom`` spares the batch sizes above one that ran out of memory (``bench.sweep.skipping``). ``dry_run``
    prints the plan and runs nothing: what ``bench plan`` sets. ``resume`` is the folder of a sweep to go on with,
    ``retry`` lists how runs ended that it does again: what ``bench sweep --resume --retry`` sets. ``budget_s`` is the
    time after which one call begins no further run.
    """

    name: str | None = setting(None, optional(folder_name(reserved=("latest",))))
    dir: str = setting("results", text())
    require: tuple[str, ...] = setting((), words())
    skip_after_oom: bool = setting(True, flag())
    dry_run: bool = setting(False, flag())
    resume: str | None = setting(None, optional(text()))
    retry: tuple[str, ...] = setting((), some_of(*RETRIABLE))
    budget_s: float | None = setting(None, optional(positive()))


@dataclass(frozen=True, kw_only=True)
class JobConfig:
    """Set by the sweeper for each of its jobs, never by hand: which run of which sweep the job is."""

    sweep_dir: str | None = setting(None, optional(text()))
    cell_id: str | None = setting(None, optional(folder_name()))
    round: int | None = setting(None, optional(integer(0)))
    order: int | None = setting(None, optional(integer(0)))


@dataclass(frozen=True, kw_only=True)
class Config:
    """One point of the grid, and the sweep it belongs to."""

    batch_size: int | str = setting(32, either("full", integer(1, MAX_ROWS)))
    seed: int = setting(0, integer(0, MAX_SEED))
    framework: FrameworkConfig = field(default_factory=FrameworkConfig)
    interpreters: InterpretersConfig = field(default_factory=InterpretersConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    lr_policy: LrPolicyConfig = field(default_factory=LrPolicyConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    defaults: DefaultsConfig = field(default_factory=DefaultsConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    job: JobConfig = field(default_factory=JobConfig)
