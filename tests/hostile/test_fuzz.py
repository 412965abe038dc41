"""Whatever is handed in is taken as it stands or refused in three lines: a look of seconds, and a longer one."""

from pathlib import Path

import pytest

from tests.fuzz.inputs import KINDS, fuzz_in


@pytest.mark.parametrize("kind", KINDS)
def test_input_is_taken_or_refused(kind: str, tmp_path: Path) -> None:
    tally = fuzz_in(tmp_path, kind, 100, 0)
    assert tally.tried
    assert not tally.failures


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("start", range(1, 4))
@pytest.mark.parametrize("kind", KINDS)
def test_much_more_input_is_taken_or_refused(kind: str, start: int, tmp_path: Path) -> None:
    assert not fuzz_in(tmp_path, kind, 2000, start).failures
