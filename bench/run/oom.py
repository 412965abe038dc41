"""How frameworks, allocators and the C++ library say that memory ran out; used on exceptions and on logs alike."""

from __future__ import annotations

_WORDS = (
    "out of memory",
    "cannot allocate memory",
    "can't allocate memory",
    "resource_exhausted",
    "resource exhausted",
    "resourceexhaustederror",
    "bad_alloc",
    "oom when allocating",
)


def says_out_of_memory(text: str) -> bool:
    """Whether an error's text blames memory."""
    lowered = text.lower()
    return any(words in lowered for words in _WORDS)
