import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from bench.report.render import escape_markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("<script>alert(1)</script>", "&#60;script&#62;alert(1)&#60;/script&#62;"),
        ("a | b", "a &#124; b"),
        ("two\nlines", "two lines"),
        ("@everyone #12", "&#64;everyone &#35;12"),
        ("[x](javascript:y)", "&#91;x&#93;(javascript:y)"),
        ("https://evil.example www.evil.example", "https&#58;//evil.example www&#46;evil.example"),
        ("- item", "&#45; item"),
        ("1. item", "1&#46; item"),
        ("1.74M samples/s", "1.74M samples/s"),
        ("target_not_reached", "target_not_reached"),
        ("_em_ *bold* `code` ~~gone~~", "&#95;em&#95; &#42;bold&#42; &#96;code&#96; &#126;&#126;gone&#126;&#126;"),
        ("$\\frac{1}{2}$", "&#36;&#92;frac{1}{2}&#36;"),
    ],
)  # fmt: skip
def test_foreign_text_is_shown_letter_by_letter(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped


def test_what_is_ours_and_what_is_no_text_pass() -> None:
    assert escape_markdown(Markup("| a |")) == "| a |"
    assert escape_markdown(5) == 5


@given(st.text())
def test_no_text_can_open_a_tag_a_table_cell_or_a_line(text: str) -> None:
    escaped = str(escape_markdown(text))
    assert not re.search(r"[<>|`\[\]\n\\]", escaped)
    assert not re.search(r"&(?!#\d+;)", escaped)
