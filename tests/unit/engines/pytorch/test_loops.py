"""What is PyTorch's own about the two loops; what every engine must do stands in the contract suite."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from bench.engines.pytorch import stepping
from bench.engines.pytorch.eager import TorchEager
from bench.engines.pytorch.idiomatic import TorchIdiomatic
from bench.engines.pytorch.model import make_module
from bench.engines.pytorch.optimizer import FUSED_KINDS, make_updater
from tests.contract.case import Kind, ready, train

IDIOMATIC, EAGER = Kind("pytorch", None, "idiomatic"), Kind("pytorch", None, "eager")


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("kind", ["cpu", "xla"])
def test_the_bare_kernels_do_what_the_optimizer_classes_do(optimizer: str, kind: str) -> None:
    cell = EAGER.cell(32, optimizer=optimizer)
    torch.manual_seed(0)
    ours = [torch.randn(4, 3), torch.randn(4)]
    theirs = [tensor.clone().requires_grad_() for tensor in ours]
    spec = cell.optimizer
    by_class: torch.optim.Optimizer = (
        torch.optim.Adam(theirs, lr=0.1, betas=(spec.beta1, spec.beta2), eps=spec.epsilon)
        if optimizer == "adam"
        else torch.optim.SGD(theirs, lr=0.1, momentum=spec.momentum if optimizer == "momentum" else 0.0)
    )
    updater = make_updater(cell, 0.1, ours, kind)
    assert updater.fused is (kind in FUSED_KINDS)
    for _ in range(3):
        gradients = [torch.randn_like(tensor) for tensor in ours]
        updater.update(gradients)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        by_class.step()
    for tensor, parameter in zip(ours, theirs, strict=True):
        torch.testing.assert_close(tensor, parameter.detach(), rtol=1e-6, atol=1e-7)


def test_the_two_loops_train_alike_where_they_see_the_same_order() -> None:
    tutorial, plain = (np.concatenate(train(ready(kind.cell(7, shuffle=False)), 3)) for kind in (IDIOMATIC, EAGER))
    np.testing.assert_allclose(tutorial, plain, rtol=0, atol=1e-6)


def test_blocks_make_no_difference_to_the_eager_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(train(ready(EAGER.cell(7)), 2))
    for rows in (1, 14, 20, 10_000):
        monkeypatch.setattr(stepping, "BLOCK_ROWS", rows)
        assert np.array_equal(np.concatenate(train(ready(EAGER.cell(7)), 2)), whole)


def test_eager_losses_stay_on_the_device_until_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ready(EAGER.cell(7))
    assert isinstance(engine, TorchEager)

    def _sync(*_: object) -> None:
        raise AssertionError("the host waited for the device inside the epoch")

    for verb in ("item", "cpu", "numpy", "tolist", "__float__"):
        monkeypatch.setattr(torch.Tensor, verb, _sync)
    losses = engine.run_epoch(np.arange(100, dtype=np.int64))
    assert all(isinstance(loss, torch.Tensor) and not loss.requires_grad for loss in losses)


def test_native_shuffling_follows_its_seed() -> None:
    cell = IDIOMATIC.cell(7, shuffle=True)
    first, again, other = (np.concatenate(train(ready(cell, native_seed=s), 1)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_every_tutorial_step_reads_its_loss() -> None:
    engine = ready(IDIOMATIC.cell(32))
    assert isinstance(engine, TorchIdiomatic)
    x, y = engine.dataset[:3]
    assert isinstance(engine.train_batch(x, y), float)


@pytest.mark.parametrize(("defaults", "last"), [("pinned", nn.Linear), ("framework", nn.Sigmoid)])
def test_the_frameworks_defaults_end_in_a_sigmoid(defaults: str, last: type[nn.Module]) -> None:
    module = make_module(IDIOMATIC.cell(32, defaults=defaults))
    assert isinstance(module[-1], last)


def test_a_pinned_epsilon_reaches_both_loops_and_only_pinned() -> None:
    def losses(kind: Kind, defaults: str, epsilon: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        cell = kind.cell(32, shuffle=False, defaults=defaults)
        cell = dataclasses.replace(cell, optimizer=dataclasses.replace(cell.optimizer, epsilon=epsilon))
        return np.concatenate(train(ready(cell), 3))

    for kind in (IDIOMATIC, EAGER):
        assert not np.allclose(losses(kind, "pinned", 1e-8), losses(kind, "pinned", 1e-1), atol=1e-3)
        assert np.array_equal(losses(kind, "framework", 1e-8), losses(kind, "framework", 1e-1))


def test_threads_and_precision_are_in_force_and_told() -> None:
    environment = ready(EAGER.cell(32)).environment()
    assert environment["torch_threads"] == environment["torch_interop_threads"] == 1
    assert environment["float32_matmul_precision"] == "highest"
    assert environment["device_kind"] == "cpu"
