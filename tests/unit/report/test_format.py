import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import format as fmt


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.24e-7, "2.2 × 10⁻⁷"),
        (5e-6, "5 × 10⁻⁶"),
        (0.0, "0"),
        (None, "–"),
        (float("nan"), "–"),
        (9.96e-13, "1 × 10⁻¹²"),
    ],
)
def test_scientific_by_hand(value: float | None, text: str) -> None:
    assert fmt.scientific(value) == text


def test_a_power_of_ten_by_hand() -> None:
    assert [fmt.power_of_ten(value) for value in (1e-16, 1.0, 1e3)] == ["10⁻¹⁶", "10⁰", "10³"]


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (181_234.0, 179_000.0, 183_000.0, "181k samples/s"),
        (181_234.0, 181_220.0, 181_240.0, "181.2k samples/s"),
        (181_234.0, None, None, "180k samples/s"),
        (181_234.0, 100_000.0, 300_000.0, "200k samples/s"),
        (99.7, None, None, "100 samples/s"),
        (999_960.0, None, None, "1.0M samples/s"),
        (None, None, None, "–"),
        (float("nan"), None, None, "–"),
    ],
)
def test_a_throughput_shows_the_digits_its_interval_supports(
    value: float | None, low: float | None, high: float | None, shown: str
) -> None:
    assert fmt.samples_per_s(value, low, high) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(84e-6, "84 µs"), (0.0123, "12 ms"), (1.31, "1.3 s"), (0.99999, "1.0 s"), (90.0, "1.5 min"), (7200.0, "2.0 h")],
)
def test_a_duration_is_shown_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert fmt.duration(seconds) == shown


def test_an_interval_shares_unit_and_decimals_with_its_value() -> None:
    assert fmt.microseconds_interval(84.213, 83.1, 85.2) == "84 (83 to 85) µs"
    assert fmt.samples_per_s_interval(181_234.0, 179_000.0, 183_000.0) == "181k (179k to 183k) samples/s"
    assert fmt.ratio_interval(2.314, 2.28, 2.35) == "2.31× (2.28× to 2.35×)"


def test_without_an_interval_only_the_value_is_shown() -> None:
    assert fmt.duration_interval(0.084, None, None) == "84 ms"


@pytest.mark.parametrize(
    ("number", "shown"),
    [(584e6, "584 MB"), (22_544, "22.5 kB"), (768, "768 B"), (1.5e9, "1.50 GB"), (None, "–"), (0, "0 B")],
)
def test_memory_is_shown_in_decimal_units(number: float | None, shown: str) -> None:
    assert fmt.memory(number) == shown


@pytest.mark.parametrize(("fraction", "shown"), [(0.452, "45%"), (0.0523, "5.2%"), (0.0996, "10%"), (0.0, "0%")])
def test_percent(fraction: float, shown: str) -> None:
    assert fmt.percent(fraction) == shown


def test_counts_are_exact() -> None:
    assert fmt.count(10_000) == "10,000"
    assert fmt.steps(312.5) == "312.5"
    assert fmt.steps(5000.0) == "5,000"


@pytest.mark.parametrize(("p", "shown"), [(0.0002, "< 0.001"), (0.0312, "0.031"), (0.52, "0.52"), (math.nan, "–")])
def test_p_values(p: float, shown: str) -> None:
    assert fmt.p_value(p) == shown


@given(st.floats(1e-8, 1e9), st.floats(0.002, 0.5))
def test_no_digit_lies_below_the_spread(value: float, relative: float) -> None:
    half = value * relative
    shown = fmt.quantity(value, value - half, value + half)
    decimals = len(shown.partition(".")[2])
    assert decimals == 0 or 10.0**-decimals >= half / 9.6
    assert abs(float(shown.replace(",", "")) - value) <= max(half, 0.5 * 10.0**-decimals)


@given(st.text(max_size=400))
def test_foreign_text_becomes_one_short_line_without_control_or_direction_marks(text: str) -> None:
    shown = fmt.one_line(text)
    assert len(shown) <= fmt.LABEL_LENGTH
    assert "\n" not in shown
    assert not set(shown) & set("\u202e\u202d\u2066\u2067\u200f\x00\x1b\x85\u2028")
    shown.encode()


def test_harmless_text_is_left_alone() -> None:
    assert fmt.one_line("no gpu: pytorch sees none") == "no gpu: pytorch sees none"
    assert fmt.one_line("naïve 数据") == "naïve 数据"


def test_long_text_is_cut_in_the_middle_and_says_so() -> None:
    assert fmt.one_line("a" * 200 + "z" * 100, 10) == "aaaaaa…zzz"


def test_what_cannot_be_seen_is_spelled_out() -> None:
    assert fmt.one_line("\x1b[31mred \u202egnitsurt") == "\\x1b[31mred \\u202egnitsurt"


@pytest.mark.parametrize(
    ("parts", "shown"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_lists_in_words(parts: list[str], shown: str) -> None:
    assert fmt.listed(parts) == shown


def test_ticks_carry_their_unit() -> None:
    assert fmt.tick_rate(10_000) == "10k"
    assert fmt.tick_duration(1e-5) == "10 µs"
    assert fmt.tick_microseconds(1e3) == "1 ms"
    assert fmt.tick_bytes(1e6) == "1 MB"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(1.31, "1.3 s"), (59.6, "1 min"), (536.4, "8 min 56 s"), (3599.9, "1 h"), (7530.0, "2 h 6 min"), (None, "–")],
)
def test_wall_time_is_told_as_people_say_it(seconds: float | None, shown: str) -> None:
    assert fmt.clock_time(seconds) == shown


def test_a_tiny_share_is_not_rounded_to_nothing() -> None:
    assert fmt.percent(0.0002) == "< 0.1%"
    assert fmt.percent(0.0) == "0%"


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ([], ""),
        ([None, math.nan], ""),
        ([1], "about 1 more round"),
        ([7], "about 7 more rounds"),
        ([12, 4, math.nan], "about 4 to 12 more rounds"),
        ([1_249, 1_234], "about 1,200 more rounds"),
    ],
)
def test_rounds_that_are_missing_are_an_estimate(numbers: list[float | None], shown: str) -> None:
    assert fmt.more_rounds(*numbers) == shown


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.02, "2.0%"),
        (0.0201, "2.1%"),
        (0.0196, "2.0%"),
        (0.2601, "27%"),
        (0.00123, "0.13%"),
        (1.5, "150%"),
        (0.0, "0%"),
    ],
)
def test_a_width_is_rounded_up_so_that_none_looks_narrower_than_it_is(fraction: float, text: str) -> None:
    assert fmt.percent_at_most(fraction) == text


def test_a_fraction_that_was_chosen_is_as_short_as_it_is() -> None:
    assert [fmt.percent_asked(f) for f in (0.02, 0.015, 0.1, 0.07)] == ["2%", "1.5%", "10%", "7%"]
