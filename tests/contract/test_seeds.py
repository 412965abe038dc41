"""The trainings that the bars are asserted on are such that rounding decides nothing in them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contract.bars import LOSS_BARS, TRAININGS, WEIGHT_BARS, Training, expected


def test_both_number_formats_start_from_the_same_numbers_so_that_one_reference_serves_for_both() -> None:
    training = TRAININGS[0]
    np.testing.assert_array_equal(training.split("float64").x_train, training.split("float32").x_train)
    for double, single in zip(training.start("float64"), training.start("float32"), strict=True):
        np.testing.assert_allclose(double, single, rtol=1e-6)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_the_seeds_keep_what_they_were_chosen_for(training: Training, shuffle: bool) -> None:
    losses, weights, undecided = expected(training, "float32", shuffle=shuffle)
    if not undecided:
        return
    assert training.batch_size >= 256
    flipped, moved, _ = expected(training, "float32", shuffle=shuffle, flip=True)
    assert np.abs(flipped - losses).max() < LOSS_BARS["float32"] / 2
    for ours, theirs in zip(moved, weights, strict=True):
        assert np.abs(ours - theirs).max() < WEIGHT_BARS["float32"] / 2
