"""Text fit to be shown: what cannot be seen in names, reasons and files from outside is spelled out; sizes in words."""

from __future__ import annotations

import unicodedata

MOST_SHOWN = 2_000
"""Characters of one line of foreign text that anybody would read."""
# Cf holds the marks that turn the direction of text; Cs, lone surrogates, cannot be written as UTF-8.
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")
_BREAKS = ("Zl", "Zp")


def one_line(text: str, limit: int = MOST_SHOWN) -> str:
    r"""The text on one line of at most ``limit`` characters: cut in the middle, with nothing that acts on its reader.

    White space becomes a space; control and direction marks, which would move a cursor, colour a terminal or turn the
    text around, are spelled out: ``\x1b``, ``\u202e``.
    """
    if len(text) > 40 * limit:  # a megabyte of log, of which no more than this can matter
        text = f"{text[: 20 * limit]}…{text[-20 * limit :]}"
    return shortened(" ".join(visible(text).split()), limit)


def visible(text: str) -> str:
    """The text with its invisible characters spelled out and its breaks as spaces."""
    return text if text.isprintable() else "".join(map(_visible, text))


def for_terminal(text: str) -> str:
    """The text with everything spelled out that a terminal would obey, its line breaks kept."""
    return "\n".join(map(visible, text.split("\n")))


def shortened(text: str, limit: int) -> str:
    """At most ``limit`` characters: the beginning and, after an ellipsis, the end."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 3
    return f"{text[: limit - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def size_text(size_bytes: float) -> str:
    """Bytes in two digits, such as ``51 MB``, ``1.3 GB``."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= 0.9995 * size:
            value = size_bytes / size
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    return f"{size_bytes:.0f} bytes"


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if character.isspace() or kind in _BREAKS:
        return " "
    if kind not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
