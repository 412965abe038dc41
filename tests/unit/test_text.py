"""Words for what stands in messages."""

from __future__ import annotations

import pytest

from bench.text import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (51_234_567, "51 MB"), (9_949_000, "9.9 MB"),
     (9_951_000, "10 MB"), (999_900_000, "1.0 GB"), (2.5e12, "2.5 TB")],
)  # fmt: skip
def test_sizes_are_said_in_two_digits(size: float, text: str) -> None:
    assert size_text(size) == text
