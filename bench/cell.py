"""What is asked: a cell is one frozen point of the grid, holding everything that can change a measurement."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, get_type_hints

# Bumped when the same cell would be measured differently (a new window, a new workload recipe), so that
# cells from before and after never share an identity.
#
# 2: the parity gate trains in the measuring process between the first step and the training windows. It changes no
# number that is trained, for the engine is reset, but what a framework makes at its second step or its second epoch,
# and what an allocator keeps, now comes before the first training window, and times to a target sum those windows.
MEASUREMENT_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """The data of a workload, resolved: sizes are known, and a file is known by its content.

    Attributes:
        name: ``teacher``, ``tutorial``, ``breast_cancer`` or ``file``.
        n_train: rows of the training split.
        n_val: rows of the validation split.
        features: columns of X.
        noise: ``teacher`` only: probability that a label is flipped at random.
        distribution: generated data only: ``normal`` or ``uniform`` features.
        shuffle: whether every epoch draws a fresh order; without it rows are taken as they stand.
        sha256: hash of the arrays for data that is stored rather than generated.
        path: the user's file; where it lies does not change what is measured.
        target: the label column of a user's file.
    """

    name: str
    n_train: int
    n_val: int
    features: int
    noise: float | None = None
    distribution: str | None = None
    shuffle: bool = True
    sha256: str | None = None
    path: str | None = None
    target: str | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Dense(hidden) + ReLU, Dense(1); ``dtype`` is ``float32`` or ``float64`` for all of it."""

    hidden: int = 64
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """``sgd``, ``momentum`` or ``adam`` with its settings; ``lr`` is the rate at the policy's base batch size."""

    name: str = "adam"
    lr: float = 1e-3
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@dataclass(frozen=True, kw_only=True)
class LrPolicySpec:
    """How the learning rate follows the batch size: ``constant``, ``linear`` or ``sqrt`` from ``base_batch_size``."""

    name: str = "constant"
    base_batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class BudgetSpec:
    """How long a cell trains, and the training loss it is asked to reach.

    Attributes:
        epochs: passes over the training split.
        target_fraction: the target lies this fraction of the way from the initial loss to the loss the
            reference reaches after ``target_epochs`` epochs at ``target_batch_size``.
        target_epochs: epochs of that reference training.
        target_batch_size: batch size of that reference training.
    """

    epochs: int = 10
    target_fraction: float = 0.5
    target_epochs: int = 50
    target_batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec:
    """How a run is measured.

    Attributes:
        threads: compute threads the framework may use.
        isolation: ``auto``, ``fork`` or ``spawn``.
        steady_min_s: least steady time per run, in seconds.
        steady_min_epochs: least number of steady epochs per run.
        steady_max_s: most steady time per run, in seconds (at least one epoch is always timed).
        timeout_s: hard limit for a run, in seconds.
        stall_s: longest time without a sign of progress (the end of an epoch or of a phase, or processor time
            at work in between), in seconds.
        memory: whether the first round adds a memory pass.
        parity_steps: steps of the parity gate; 0 turns it off, and stands for plans from before there was one. Part of
            a cell's identity (``memory`` is not: it has a process of its own), because the gate warms the process up
            that is timed afterwards.
    """

    threads: int = 1
    isolation: str = "auto"
    steady_min_s: float = 0.3
    steady_min_epochs: int = 3
    steady_max_s: float = 10.0
    timeout_s: float = 600.0
    stall_s: float = 120.0
    memory: bool = True
    parity_steps: int = 0


PATIENCE = ("timeout_s", "stall_s")
"""Settings of the protocol that say how long a run is waited for: a sweep may go on with others."""

SAME_PLAN = frozenset({"batch_size_label", "data.path", "data.target", *(f"protocol.{name}" for name in PATIENCE)})
"""Settings that say what a size was called, where data lies or how patiently: whatever they are, a plan is the same."""

# What is measured is not changed by who is asked to do it, nor by a pass of its own beside it.
_NOT_IDENTITY = SAME_PLAN | {"python", "protocol.memory"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of the grid.

    Attributes:
        framework: ``pytorch``, ``keras`` or ``reference``.
        backend: Keras' backend (``tensorflow``, ``jax``, ``torch``); None elsewhere.
        loop: ``idiomatic``, ``eager``, ``compiled`` or ``fused``.
        device: ``cpu``, ``gpu`` or ``tpu``.
        batch_size: rows per step, 1 to ``data.n_train``.
        batch_size_label: what the user wrote: the number, or ``full``.
        defaults: ``pinned`` (the same arithmetic everywhere: loss from logits, one epsilon) or ``framework``
            (what each framework's tutorial gives: sigmoid output, its own epsilon).
        seed: seeds data, split, weights and orders, together with the round and the purpose.
        python: interpreter of the worker; None is the harness's own.
        control: a second name for the same cell. What it measures differs from that cell by the machine's noise alone.
    """

    framework: str
    loop: str
    device: str
    batch_size: int
    batch_size_label: str
    data: DataSpec
    backend: str | None = None
    network: NetworkSpec = NetworkSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    lr_policy: LrPolicySpec = LrPolicySpec()
    budget: BudgetSpec = BudgetSpec()
    protocol: ProtocolSpec = ProtocolSpec()
    defaults: str = "pinned"
    seed: int = 0
    python: str | None = None
    control: bool = False

    @property
    def id(self) -> str:
        """A readable slug and a hash of everything that can change the measurement; a control's hash has its flag."""
        identity = {"measurement_version": MEASUREMENT_VERSION} | self.content()
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        name = f"{self.family}-control" if self.control else self.family
        return f"{name}-b{self.batch_size}-{digest[:10]}"

    @property
    def family(self) -> str:
        """Framework, backend, loop and device: what shares a curve over batch sizes."""
        return "-".join(part for part in (self.framework, self.backend, self.loop, self.device) if part)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch, the short last batch included."""
        return -(-self.data.n_train // self.batch_size)

    def to_plain(self) -> dict[str, Any]:
        """The cell as JSON-ready values."""
        return dataclasses.asdict(self)

    def content(self) -> dict[str, Any]:
        """Everything that can change a measurement, nested as in ``to_plain``."""
        return _identity(self.to_plain(), prefix="")

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The cell that ``to_plain`` described.

        Raises:
            TypeError: a key is missing or unknown.
        """
        hints = _types_of_fields()
        return cls(
            **{
                key: hints[key](**value) if dataclasses.is_dataclass(hints.get(key)) else value
                for key, value in plain.items()
            }
        )


@functools.cache  # a sweep may have ten thousand cells, and this takes half a millisecond
def _types_of_fields() -> dict[str, Any]:
    return get_type_hints(Cell)


def flattened(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a plain cell without its nesting: ``optimizer.lr``, ``batch_size``."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _identity(plain: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key: _identity(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in plain.items()
        # A cell that is no control keeps the id it had before there were any.
        if f"{prefix}{key}" not in _NOT_IDENTITY and (f"{prefix}{key}" != "control" or value)
    }
