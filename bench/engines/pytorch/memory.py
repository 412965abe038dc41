"""Peak bytes of PyTorch's allocators while steps are trained, above what was held before.

CUDA and XPU keep the figure themselves. The CPU's allocator keeps none, but the profiler sees every allocation and
release of a tensor: the maximum of their running sum is the peak. A profile grows with every operation, so only the
first ``WATCHED_ROWS`` rows are watched, and at least two steps: every full batch allocates the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from bench.engines.base import MemoryGauge, MemoryPeak
from bench.engines.pytorch.device import Device

WATCHED_ROWS = 256


@contextmanager
def watch(device: Device) -> Iterator[MemoryGauge]:
    """Fills the gauge with the peak of the block."""
    gauge = MemoryGauge()
    if device.kind == "cpu":
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            yield gauge
        gauge.peak = _peak_of(profiled)
    elif device.kind in ("cuda", "rocm", "xpu"):
        allocator = torch.xpu if device.kind == "xpu" else torch.cuda
        device.synchronize()
        allocator.reset_peak_memory_stats()
        held = allocator.memory_allocated()
        yield gauge
        device.synchronize()
        peak = allocator.max_memory_allocated() - held
        gauge.peak = MemoryPeak(peak_bytes=peak, source=f"torch.{allocator.__name__.rpartition('.')[2]} allocator")
    else:
        yield gauge
        gauge.peak = MemoryPeak(reason=f"PyTorch keeps no peak of its allocator on {device.kind}")


def _peak_of(profiled: profile) -> MemoryPeak:
    changes = memory_changes(profiled)
    if not any(changes):
        return MemoryPeak(reason="the profiler saw no allocation")
    return MemoryPeak(peak_bytes=max(accumulate(changes)), source="torch.profiler memory events")


def memory_changes(profiled: profile) -> list[int]:
    """Bytes allocated (positive) and released (negative) by tensors on the host, in the order of time."""
    results = profiled.profiler.kineto_results if profiled.profiler else None
    if results is None:
        return []
    events = [event for event in results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return [event.nbytes() for event in events if event.device_type() == DeviceType.CPU]  # type: ignore[attr-defined]
