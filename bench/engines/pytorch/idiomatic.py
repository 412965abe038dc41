"""PyTorch as its tutorials write it: ``DataLoader``, ``nn.Module``, ``torch.optim``, ``loss.item()`` at every step."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench.engines.base import Epochs, FloatArray
from bench.engines.pytorch.model import from_parameters, make_criterion, make_module, set_parameters
from bench.engines.pytorch.opening import TorchEngine
from bench.engines.pytorch.optimizer import make_optimizer
from bench.workload.network import Weights


class TorchIdiomatic(TorchEngine):
    """The front door. It shuffles natively, from a seeded generator; without shuffling it takes rows as they stand."""

    loop = "idiomatic"
    follows_order = False

    model: nn.Module
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    dataset: TensorDataset
    shuffling: torch.Generator

    def build(self, weights: Weights) -> None:
        """Module, criterion and optimizer."""
        self.model = make_module(self.cell).to(self.device.torch_device)
        self.criterion = make_criterion(self.cell)
        self.shuffling = torch.Generator()
        self.reset(weights)

    def reset(self, weights: Weights) -> None:
        """The given weights, a new optimizer, and the shuffling from its start."""
        set_parameters(list(self.model.parameters()), weights)
        self.optimizer = make_optimizer(self.cell, self.setup.lr, self.model.parameters())
        self.shuffling.manual_seed(self.setup.native_seed)

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """A ``TensorDataset`` on the host, as tutorials keep it; batches go to the device one by one."""
        self.dataset = TensorDataset(torch.from_numpy(x), torch.from_numpy(y).unsqueeze(1))

    def warm_up(self) -> None:
        """One full batch and, where the epoch ends in one, the short batch."""
        n, batch_size = self.cell.data.n_train, self.cell.batch_size
        x, y = self.dataset.tensors
        for rows in {batch_size, n % batch_size} - {0}:
            self.train_batch(x[:rows], y[:rows])

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None; the order of the rows is the loader's own business here."""
        whole = self._make_loader(self.cell.data.n_train)
        while (order := epochs.start()) is not None:
            loader = whole if len(order) == self.cell.data.n_train else self._make_loader(len(order))
            history = [self.train_batch(x, y) for x, y in islice(loader, self.steps_watched)]
            epochs.finish(lambda history=history: np.array(history))  # type: ignore[misc]

    def train_batch(self, batch_x: Tensor, batch_y: Tensor) -> float:
        """The body of every tutorial's loop; ``item()`` waits for the device."""
        batch_x, batch_y = batch_x.to(self.device.torch_device), batch_y.to(self.device.torch_device)
        outputs = self.model(batch_x)
        loss = self.criterion(outputs, batch_y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.device.end_step()
        return float(loss.item())

    def _make_loader(self, rows: int) -> DataLoader[tuple[Tensor, ...]]:
        part = self.dataset if rows == len(self.dataset) else TensorDataset(*(t[:rows] for t in self.dataset.tensors))
        shuffle, batch_size = self.shuffles_natively, self.cell.batch_size
        return DataLoader(part, batch_size=batch_size, shuffle=shuffle, generator=self.shuffling)

    def trained(self) -> list[Tensor]:
        """The module's parameters."""
        return list(self.model.parameters())

    def weights(self) -> Weights:
        """A copy of the weights."""
        return from_parameters(list(self.model.parameters()))


ENGINE = TorchIdiomatic
