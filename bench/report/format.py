"""The only place where numbers become text: units, and never more digits than the spread supports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench import text as safe

MISSING = "–"
LABEL_LENGTH = 60
REASON_LENGTH = 400

UNSTEADY = "†"
UNSTEADY_NOTE = f"{UNSTEADY} a run behind it slows down or has no steady state"

# A value that was seen once, or has no interval, is an order of magnitude and a digit: two significant digits.
_DIGITS_WITHOUT_SPREAD = 2
_MOST_DIGITS = 4


@dataclass(frozen=True)
class Unit:
    """A unit and its size in the base unit of its scale; ``glue`` stands between number and unit."""

    size: float
    name: str
    glue: str = " "


_DURATIONS = (
    Unit(1e-9, "ns"), Unit(1e-6, "µs"), Unit(1e-3, "ms"), Unit(1.0, "s"), Unit(60.0, "min"), Unit(3600.0, "h"),
)  # fmt: skip
_BYTES = (Unit(1.0, "B"), Unit(1e3, "kB"), Unit(1e6, "MB"), Unit(1e9, "GB"), Unit(1e12, "TB"))
_RATES = (Unit(1.0, "", ""), Unit(1e3, "k", ""), Unit(1e6, "M", ""), Unit(1e9, "G", ""))
_PLAIN = (Unit(1.0, "", ""),)
_TIMES = (Unit(1.0, "×", ""),)
_PERCENT = (Unit(1.0, "%", ""),)


def is_missing(value: Any) -> bool:
    """Whether there is nothing to show: None, NaN or pandas' NA."""
    return value is None or bool(pd.isna(value))


def quantity(value: Any, low: Any = None, high: Any = None, *, units: Sequence[Unit] = _PLAIN) -> str:
    """The value in its own unit, its last digit of the size of the interval's half-width."""
    if is_missing(value):
        return MISSING
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    unit = _unit_for(value, units)
    number = _fixed(value / unit.size, _decimals(value / unit.size, _half_width(low, high, unit)))
    return f"{number}{unit.glue}{unit.name}"


def with_interval(value: Any, low: Any, high: Any, *, units: Sequence[Unit] = _PLAIN) -> str:
    """The value and its interval in one unit, to the same decimals: ``181 (179 to 183) µs``, ``18k (17k to 19k)``."""
    if is_missing(low) or is_missing(high) or is_missing(value) or not math.isfinite(value):
        return quantity(value, low, high, units=units)
    unit = _unit_for(value, units)
    decimals = _decimals(value / unit.size, _half_width(low, high, unit))
    each, shared = ("", f"{unit.glue}{unit.name}") if unit.glue else (unit.name, "")
    middle, least, most = (_fixed(v / unit.size, decimals) + each for v in (value, low, high))
    return f"{middle} ({least} to {most}){shared}"


def samples_per_s(value: Any, low: Any = None, high: Any = None) -> str:
    """A throughput: ``181 k samples/s``."""
    return _with_suffix(quantity(value, low, high, units=_RATES), "samples/s")


def samples_per_s_interval(value: Any, low: Any, high: Any) -> str:
    """A throughput with its interval."""
    return _with_suffix(with_interval(value, low, high, units=_RATES), "samples/s")


def duration(seconds: Any, low: Any = None, high: Any = None) -> str:
    """A time given in seconds: ``84 µs``, ``1.3 s``, ``12 min``."""
    return quantity(seconds, low, high, units=_DURATIONS)


def clock_time(seconds: Any) -> str:
    """How long something took as people say it: ``8 min 56 s``, ``2 h 5 min``; below a minute as a duration."""
    if is_missing(seconds) or seconds < 59.5:
        return duration(seconds)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{count(hours)} h {minutes} min" if minutes else f"{count(hours)} h"


def duration_interval(seconds: Any, low: Any, high: Any) -> str:
    """A time given in seconds, with its interval."""
    return with_interval(seconds, low, high, units=_DURATIONS)


def microseconds(value: Any, low: Any = None, high: Any = None) -> str:
    """A time given in microseconds."""
    return duration(*(None if is_missing(v) else v * 1e-6 for v in (value, low, high)))


def microseconds_interval(value: Any, low: Any, high: Any) -> str:
    """A time given in microseconds, with its interval."""
    return duration_interval(*(None if is_missing(v) else v * 1e-6 for v in (value, low, high)))


def memory(bytes_: Any, *, digits: int = 3) -> str:
    """Bytes in decimal units: ``584 MB``; peaks of memory repeat to about three digits."""
    if is_missing(bytes_):
        return MISSING
    unit = _unit_for(bytes_, _BYTES)
    return f"{significant(bytes_ / unit.size, digits)} {unit.name}"


def ratio(value: Any, low: Any = None, high: Any = None) -> str:
    """A ratio: ``2.31×``."""
    return quantity(value, low, high, units=_TIMES)


def ratio_interval(value: Any, low: Any, high: Any) -> str:
    """A ratio with its interval: ``2.31× (2.25× to 2.37×)``."""
    return with_interval(value, low, high, units=_TIMES)


def difference(ratio: Any, low: Any = None, high: Any = None) -> str:
    """How far a ratio lies from 1, with its interval: ``0.3% (-0.4% to 1.1%)``."""
    return with_interval(*(v if is_missing(v) else (v - 1) * 100 for v in (ratio, low, high)), units=_PERCENT)


def count(value: Any) -> str:
    """An exact whole number with its thousands set apart: ``10,000``."""
    return MISSING if is_missing(value) else f"{round(value):,}"


def steps(value: Any) -> str:
    """A median number of steps or epochs, which may end in a half."""
    return MISSING if is_missing(value) else f"{value:,.1f}".removesuffix(".0")


def loss(value: Any) -> str:
    """A loss: three significant digits, which is what rounds agree to."""
    return MISSING if is_missing(value) else significant(value, 3)


def scientific(value: Any) -> str:
    """A number of any size to two digits: ``2.2 × 10⁻⁷``, ``0``."""
    if is_missing(value) or value == 0 or not math.isfinite(value):
        return quantity(value)
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')} × 10{_raised(int(exponent))}"


def power_of_ten(value: float) -> str:
    """An axis tick that is a power of ten: ``10⁻⁷``."""
    return f"10{_raised(round(math.log10(value)))}"


def percent(fraction: Any) -> str:
    """A fraction as whole per cent, or with one decimal below ten."""
    if is_missing(fraction):
        return MISSING
    if 0 < fraction < 0.0005:
        return "< 0.1%"
    return f"{fraction:.0%}" if abs(fraction) >= 0.0995 or fraction == 0 else f"{fraction:.1%}"


def signed_percent(fraction: Any) -> str:
    """A relative difference: ``+2.3%``, ``-17%``."""
    sign = "" if is_missing(fraction) else "+" if fraction > 0 else "-" if fraction < 0 else ""
    return f"{sign}{percent(None if is_missing(fraction) else abs(fraction))}"


def percent_asked(fraction: float) -> str:
    """A fraction that someone chose, as short as it is: ``2%``."""
    return f"{100 * fraction:g}%"


def percent_at_most(fraction: float) -> str:
    """A fraction in two digits, rounded up, so that what is over a limit never looks as if it were not: ``2.1%``."""
    if not math.isfinite(fraction) or fraction <= 0:
        return quantity(100 * fraction) + "%"
    decimals = 1 - _exponent(100 * fraction, 2)
    # The guard keeps what binary fractions add from lifting 2 % to 2.1 %.
    return f"{_fixed(math.ceil(100 * fraction * 10.0**decimals - 1e-9) / 10.0**decimals, decimals)}%"


def p_value(value: Any) -> str:
    """A p-value: ``0.03``, ``< 0.001``."""
    if is_missing(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def significant(value: float, digits: int) -> str:
    """A number to so many significant digits, never in scientific notation above 1e-6."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else quantity(value)
    if abs(value) < 1e-6:
        return f"{value:.{digits - 1}e}"
    return _fixed(value, digits - 1 - _exponent(value, digits))


def setting(value: float) -> str:
    """A number that someone chose, as short as it is: ``0.001``."""
    return f"{value:g}"


def marked(text: str, unsteady: Any) -> str:
    """The text with a dagger where a run behind it has no steady state, or slows down."""
    return f"{text}{UNSTEADY}" if unsteady and text != MISSING else text


def plural(number: int, noun: str) -> str:
    """``1 run``, ``5 runs``."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def stated_percent(fraction: float) -> str:
    """A fraction that was set and not measured: ``5 %``."""
    return f"{100 * fraction:g} %"


def more_rounds(*numbers: Any) -> str:
    """How many rounds are missing, estimates to two digits: ``about 12 more rounds``, ``about 4 to 12 more rounds``.

    Empty where there is none.
    """
    known = [number for number in numbers if not is_missing(number)]
    if not known:
        return ""
    span = list(dict.fromkeys((rough_count(min(known)), rough_count(max(known)))))
    return f"about {' to '.join(span)} more {'round' if span == ['1'] else 'rounds'}"


def rough_count(value: Any) -> str:
    """A whole number that is an estimate, to two digits: ``7``, ``12``, ``1,300``."""
    rounded = float(f"{value:.1e}") if value >= 100 else value
    return count(rounded)


def listed(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def tick_rate(value: float, _position: int = 0) -> str:
    """An axis tick of a throughput: ``10k``."""
    return _tick(value, _RATES)


def tick_duration(value: float, _position: int = 0) -> str:
    """An axis tick of a time given in seconds: ``10 ms``."""
    return _tick(value, _DURATIONS[:4])


def tick_microseconds(value: float, _position: int = 0) -> str:
    """An axis tick of a time given in microseconds."""
    return tick_duration(value * 1e-6)


def tick_bytes(value: float, _position: int = 0) -> str:
    """An axis tick of a memory figure: ``10 MB``."""
    return _tick(value, _BYTES)


def tick_difference(value: float, _position: int = 0) -> str:
    """An axis tick of a ratio near 1: ``+5%``, ``0%``."""
    return "0%" if round(value, 6) == 1 else f"{(value - 1) * 100:+.3g}%"


def tick_times(value: float, _position: int = 0) -> str:
    """An axis tick of a ratio: ``0.5×``."""
    return f"{value:.3g}×"


def limit(fraction: float) -> str:
    """A fraction that someone chose, in per cent and as short as it is: ``5 %``."""
    return f"{fraction * 100:g} %"


def tick_plain(value: float, _position: int = 0) -> str:
    """An axis tick without a unit."""
    return f"{value:,.10g}"


def one_line(text: Any, limit: int = LABEL_LENGTH) -> str:
    """Foreign text made safe to show: one line of bounded length, control and direction marks spelled out."""
    return MISSING if is_missing(text) else safe.one_line(str(text), limit)


def _raised(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _tick(value: float, units: Sequence[Unit]) -> str:
    if value == 0:
        return "0"
    unit = _unit_for(value, units)
    return f"{value / unit.size:.10g}{unit.glue}{unit.name}"


def _with_suffix(text: str, suffix: str) -> str:
    return text if text == MISSING else f"{text} {suffix}"


def _unit_for(value: float, units: Sequence[Unit]) -> Unit:
    # 0.9995 of a unit is shown in it, because it would round to 1,000 of the unit below.
    fitting = [unit for unit in units if abs(value) >= unit.size * 0.9995]
    return fitting[-1] if fitting else units[0]


def _half_width(low: Any, high: Any, unit: Unit) -> float | None:
    if is_missing(low) or is_missing(high) or not math.isfinite(high - low):
        return None
    return float(abs(high - low) / 2 / unit.size)


def _decimals(value: float, half_width: float | None) -> int:
    if value == 0:
        return 0
    if half_width is None:
        return _DIGITS_WITHOUT_SPREAD - 1 - _exponent(value, _DIGITS_WITHOUT_SPREAD)
    most = _MOST_DIGITS - 1 - _exponent(value, _MOST_DIGITS)
    if half_width == 0:
        return most
    supported = -_exponent(half_width, 1)
    least = -_exponent(value, 1)
    return max(min(supported, most), least)


def _exponent(value: float, digits: int) -> int:
    """The decimal exponent the value has once it is rounded to so many digits."""
    return int(f"{abs(value):.{digits - 1}e}".partition("e")[2])


def _fixed(value: float, decimals: int) -> str:
    rounded = round(value, decimals)
    return f"{rounded:,.{max(decimals, 0)}f}"
