"""What can happen to a file: bytes altered, lost, doubled or foreign, and JSON whose values are not as agreed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

TOKENS = [
    *(
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"1e-999",
        b"-0.0",
        b"9" * 30,
        b"9" * 5000,
        b"0x1F",
        b"1.",
        b"01",
        b"true",
        b"null",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\r",
        b"\n",
        b"\n\n",
        b"\0",
        b"\x1b[31m",
        b"\xff\xfe",
        b"\\ud800",
        b"\\u0000",
        b"\xed\xa0\x80",
    ),
    *(b"[" * 50_000, b'{"a":' * 20_000, b"]" * 9, b'"', b"{", b"}", b",", b":", b"\\", b"/*", b"../", b"PAR1"),
]
"""Pieces of text that parsers are known to trip over."""

_DEEP = "@deep"
_DEPTHS = [50, 300, 900, 980, 990, 1100, 50_000]

STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40, -1, 0, 3, 4]),
    st.floats(),
    st.sampled_from([1e308, 5e-324, -0.0, 1e-9]),
    st.text(max_size=20),
    st.sampled_from(
        ["", "ok", "invalid", "../../x", "/etc/passwd", "</script>", "x" * 3000, "\ud800", "\u202e", "1", "NaN"]
    ),
    st.sampled_from([[], {}, [[]], [None], {"": None}, [1, "a", 2.5], {"schema_version": 4}]),
    st.just(_DEEP),
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A file of that content after something happened to its bytes."""
    for _ in range(draw(st.integers(1, 3))):
        content = draw(st.sampled_from(_HAPPENINGS))(draw, content)
    return content


def _flipped(draw: st.DrawFn, content: bytes) -> bytes:
    if not content:
        return content
    at = draw(st.integers(0, len(content) - 1))
    return content[:at] + bytes([content[at] ^ draw(st.integers(1, 255))]) + content[at + 1 :]


def _cut(draw: st.DrawFn, content: bytes) -> bytes:
    return content[: draw(st.integers(0, len(content)))]


def _lost(draw: st.DrawFn, content: bytes) -> bytes:
    first, last = _range(draw, content)
    return content[:first] + content[last:]


def _doubled(draw: st.DrawFn, content: bytes) -> bytes:
    first, last = _range(draw, content)
    return content[:last] + content[first:]


def _zeroed(draw: st.DrawFn, content: bytes) -> bytes:
    first, last = _range(draw, content)
    return content[:first] + bytes(last - first) + content[last:]


def _foreign(draw: st.DrawFn, content: bytes) -> bytes:
    at = draw(st.integers(0, len(content)))
    return content[:at] + draw(st.sampled_from(TOKENS) | st.binary(max_size=8)) + content[at:]


def _replaced(draw: st.DrawFn, content: bytes) -> bytes:
    first, last = _range(draw, content)
    return content[:first] + draw(st.sampled_from(TOKENS) | st.binary(max_size=8)) + content[last:]


def _other_line_ends(draw: st.DrawFn, content: bytes) -> bytes:
    return content.replace(b"\n", draw(st.sampled_from([b"\r\n", b"\r", b""])))


def _range(draw: st.DrawFn, content: bytes) -> tuple[int, int]:
    first = draw(st.integers(0, len(content)))
    return first, min(len(content), first + draw(st.integers(0, 40) | st.integers(0, 4096)))


_HAPPENINGS: list[Callable[[st.DrawFn, bytes], bytes]] = [
    _flipped, _cut, _lost, _doubled, _zeroed, _foreign, _replaced, _other_line_ends,
]  # fmt: skip


@st.composite
def altered(draw: st.DrawFn, plain: dict[str, Any]) -> dict[str, Any]:
    """A record in which one to three values are others, or gone."""
    changed = copy.deepcopy(plain)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(changed))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        if draw(st.integers(0, 4)):
            holder[key] = draw(STRANGE)
        else:
            del holder[key]
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a record, as the dict or list and the key in it; not within what nests too deeply."""
    pending = [value]
    while pending:
        holder = pending.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            pending.append(holder[key])


@st.composite
def as_text(draw: st.DrawFn, plain: dict[str, Any]) -> bytes:
    """The record as JSON, more or less, with some key of it perhaps given twice."""
    text = json.dumps(plain, indent=draw(st.sampled_from([None, 1])), ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0 and plain:
        key = draw(st.sampled_from(sorted(plain)))
        text = text.replace("{", f'{{"{key}": {json.dumps(draw(STRANGE))}, ', 1)
    if _DEEP in text:
        depth = draw(st.sampled_from(_DEPTHS))
        text = text.replace(f'"{_DEEP}"', "[" * depth + "]" * depth)
    return text.encode(errors="surrogatepass")
