"""The checksum of a record: put in as it is written, compared as it is read.

It is over the values and not over the bytes: SHA-256 of the JSON of everything else, its keys sorted, without spaces.
So a record may be indented anew, and no value of it altered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

CHECKSUM = "checksum"


def sealed(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its checksum, as a reader will see it: text that is no Unicode has question marks.

    Raises:
        ValueError: it holds NaN or infinity, which are no JSON.
    """
    text = json.dumps(plain, allow_nan=False, ensure_ascii=False)
    seen: dict[str, Any] = json.loads(text.encode(errors="replace"))
    return seen | {CHECKSUM: checksum(seen)}


def checksum(plain: Mapping[str, Any]) -> str:
    """The checksum that belongs to a record, whatever checksum it holds.

    Raises:
        ValueError, RecursionError: it cannot be written as JSON.
    """
    content = {name: value for name, value in plain.items() if name != CHECKSUM}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def opened(content: bytes) -> dict[str, Any]:
    """A record's values, its checksum among them and not compared.

    Raises:
        ValueError: it is no JSON object in UTF-8, or holds a name twice, NaN or infinity.
    """
    try:
        plain = json.loads(content.decode(), object_pairs_hook=_once_each, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(plain, dict):
        raise ValueError("it is no JSON object")
    return plain


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("it holds a name twice")
    return named


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")
