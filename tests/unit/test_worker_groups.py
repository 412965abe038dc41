"""Test workers: what shares an expensive thing is one worker's."""

import pytest


@pytest.mark.xdist_group("of one")
def test_a_group_is_part_of_the_id_by_which_tests_are_handed_to_workers(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("there are no groups without --dist loadgroup")
    assert request.node.nodeid.endswith("@of one")
