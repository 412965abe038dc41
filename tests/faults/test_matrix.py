"""The quickest faults of ``make faults``, without reports; the rest, and the reports, are tried there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.fault import Fault
from tests.faults.matrix import FAST, matrix, named
from tests.faults.sweeping import Warm, scratch
from tests.faults.trying import Trial

FAULTS = matrix()

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    with scratch() as root:
        warm = Warm()
        try:
            yield Trial(root, warm, reports=False)
        finally:
            warm.close()


@pytest.mark.parametrize("fault", named(FAULTS, list(FAST)), ids=lambda fault: fault.name)
def test_a_fault_loses_nothing(fault: Fault, trial: Trial) -> None:
    row = trial.run(fault)
    if row.not_here is not None:
        pytest.skip(row.not_here)
    assert not row.failures
    assert len(row.checks) > 5


def test_there_are_fifty_faults_at_least_and_each_has_a_name_of_its_own() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(names) >= 50
    assert len(set(names)) == len(names)


def test_faults_are_asked_for_by_name_or_group() -> None:
    assert [fault.name for fault in named(FAULTS, ["kill-run"])] == ["kill-run"]
    assert {fault.group for fault in named(FAULTS, ["damage"])} == {"damage"}
    with pytest.raises(KeyError, match="no-such"):
        named(FAULTS, ["no-such"])


def test_random_kills_are_as_many_as_asked_for() -> None:
    kills = [fault.what for fault in matrix(kills=10) if fault.group == "kills"]
    assert sum(int(what.split()[0]) for what in kills) == 10
