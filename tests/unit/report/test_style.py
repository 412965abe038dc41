import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.report import style

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
CONFUSIONS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
FAMILIES = [
    (framework, backend, loop)
    for framework, backend in (
        ("pytorch", None), ("keras", "tensorflow"), ("keras", "jax"), ("keras", "torch"), ("reference", None),
    )
    for loop in ("idiomatic", "eager", "compiled", "fused")
]  # fmt: skip


def linear_rgb(colour: str) -> NDArray[np.float64]:
    srgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear.clip(0, 1)
    f = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("confusion", CONFUSIONS)
def test_the_main_frameworks_differ_for_every_colour_blindness(confusion: str) -> None:
    seen = [lab(np.array(CONFUSIONS[confusion]) @ linear_rgb(c)) for c in (style.VERMILLION, style.BLUE, style.GREY)]
    distances = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 20


def test_families_differ_without_colour() -> None:
    looks = [style.look(*family) for family in FAMILIES]
    assert len({(look.marker, look.dashes) for look in looks}) == len(FAMILIES)


def test_colour_and_marker_belong_to_the_framework_and_dashes_to_the_loop() -> None:
    eager, compiled = style.look("pytorch", None, "eager"), style.look("pytorch", None, "compiled")
    keras = style.look("keras", "tensorflow", "eager")
    assert (eager.colour, eager.marker) == (compiled.colour, compiled.marker)
    assert eager.dashes == keras.dashes
    assert (eager.colour, eager.marker) != (keras.colour, keras.marker)


def test_an_unknown_framework_and_loop_still_get_a_look() -> None:
    look = style.look("mxnet", None, "by_hand")
    assert look == style.look("mxnet", None, "by_hand")
    assert look.colour in style.CSS_VARIABLES


def test_text_is_at_least_nine_points() -> None:
    with style.drawing():
        import matplotlib as mpl

        sizes = [mpl.rcParams[name] for name in ("font.size", "xtick.labelsize", "legend.fontsize", "axes.labelsize")]
    assert min(sizes) >= 9


def test_drawing_leaves_the_callers_settings_alone() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with style.drawing():
        assert mpl.rcParams["svg.hashsalt"] == "bench"
    assert dict(mpl.rcParams) == before
