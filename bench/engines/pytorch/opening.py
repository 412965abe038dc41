"""What all loops do alike: open the device, take the data to it, tell the environment, watch memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bench.engines.base import Engine, FloatArray, MemoryGauge, Order
from bench.engines.pytorch.device import Device, kind_of_home, open_device, set_threads
from bench.engines.pytorch.environment import describe, pin_precision
from bench.engines.pytorch.memory import WATCHED_ROWS, watch


class TorchEngine(Engine):
    """An engine on a PyTorch device.

    Attributes:
        device: where it trains, once open.
        x: the training split on the device, (n, F).
        y: its labels, (n, 1).
        steps_watched: how many steps of an epoch to train while memory is watched; None trains them all.
    """

    framework = "pytorch"
    device: Device
    x: Tensor
    y: Tensor
    steps_watched: int | None = None

    def open_device(self) -> str:
        """Sets threads and precision, opens the device, and makes sure that it computes."""
        set_threads(self.cell.protocol.threads)
        self.device = open_device(self.cell.device, self.dtype)
        pin_precision()  # only now: torch-tpu puts its own setter in place when it loads
        return self.device.name

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device; on the processor it stays where it is."""
        self.x = torch.from_numpy(x).to(self.device.torch_device)
        self.y = torch.from_numpy(y).unsqueeze(1).to(self.device.torch_device)

    def watched(self, order: Order) -> Order:
        """The order; while memory is watched, only its first batches."""
        return order if self.steps_watched is None else order[: self.steps_watched * self.cell.batch_size]

    @property
    def dtype(self) -> torch.dtype:
        """The network's dtype."""
        dtype: torch.dtype = getattr(torch, self.cell.network.dtype)
        return dtype

    def synchronize(self) -> None:
        """Returns when the device has finished everything asked of it."""
        self.device.synchronize()

    @abstractmethod
    def trained(self) -> Iterable[Tensor]:
        """The weights, where they are trained."""

    def homes(self) -> frozenset[str]:
        """Where the weights say they live."""
        return frozenset(kind_of_home(tensor.device) for tensor in self.trained())

    def environment(self) -> dict[str, Any]:
        """Versions, threads and numeric flags in force."""
        return describe(self.device)

    @contextmanager
    def track_memory(self) -> Iterator[MemoryGauge]:
        """The allocator's peak over an epoch's first steps."""
        self.steps_watched = max(2, WATCHED_ROWS // self.cell.batch_size)
        try:
            with watch(self.device) as gauge:
                yield gauge
        finally:
            self.steps_watched = None


def packed(losses: Sequence[Tensor]) -> FloatArray:
    """Losses of steps or of blocks of steps, on the host, shape (steps,)."""
    on_host: FloatArray = torch.cat([loss.reshape(-1) for loss in losses]).cpu().numpy()
    return on_host
