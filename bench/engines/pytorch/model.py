"""The network in PyTorch's own layout (kernels are (out, in)), its loss, and the way weights go in and come out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from bench.cell import Cell
from bench.workload.network import Weights


def make_module(cell: Cell) -> nn.Sequential:
    """The network as a tutorial writes it; it ends in a sigmoid where ``defaults=framework``."""
    dtype = getattr(torch, cell.network.dtype)
    layers: list[nn.Module] = [
        nn.Linear(cell.data.features, cell.network.hidden, dtype=dtype),
        nn.ReLU(),
        nn.Linear(cell.network.hidden, 1, dtype=dtype),
    ]
    return nn.Sequential(*layers, nn.Sigmoid()) if cell.defaults == "framework" else nn.Sequential(*layers)


def make_criterion(cell: Cell, reduction: str = "mean") -> nn.Module:
    """The loss that belongs to ``make_module``."""
    kind = nn.BCELoss if cell.defaults == "framework" else nn.BCEWithLogitsLoss
    return kind(reduction=reduction)


def loss_from_logits(logits: Tensor, y: Tensor) -> Tensor:
    """Mean binary cross-entropy, pinned."""
    return binary_cross_entropy_with_logits(logits, y)


def loss_from_probabilities(logits: Tensor, y: Tensor) -> Tensor:
    """Mean binary cross-entropy the way PyTorch tutorials compute it; its gradient is 0 from a logit of about 17 on."""
    return binary_cross_entropy(torch.sigmoid(logits), y)


def to_tensors(weights: Weights) -> list[Tensor]:
    """Copies on the host, in the order of ``nn.Sequential.parameters()``."""
    hidden_kernel, hidden_bias, output_kernel, output_bias = weights
    return [torch.tensor(array) for array in (hidden_kernel.T, hidden_bias, output_kernel.T, output_bias)]


def set_parameters(parameters: Sequence[Tensor], weights: Weights) -> None:
    """Overwrites parameters in place, wherever they live."""
    with torch.no_grad():
        for parameter, tensor in zip(parameters, to_tensors(weights), strict=True):
            parameter.copy_(tensor)


def from_parameters(parameters: Sequence[Tensor]) -> Weights:
    """A copy on the host, in the one layout."""
    hidden_kernel, hidden_bias, output_kernel, output_bias = (p.detach().cpu().numpy().copy() for p in parameters)
    return Weights(hidden_kernel.T.copy(), hidden_bias, output_kernel.T.copy(), output_bias)
