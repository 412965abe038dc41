from xml.etree import ElementTree

from bench.report import svg

PLAIN = """<?xml version="1.0"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="72pt" viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">
 <metadata>noise</metadata>
 <defs><style>*{stroke-linejoin: round}</style><clipPath id="c1"><rect/></clipPath></defs>
 <g id="axes" clip-path="url(#c1)"><use xlink:href="#m1" style="fill: #0072b2"/>
 <image xlink:href="data:image/png;base64,AA"/>
 <text id="t" style="font-size: 9px; font-family: 'DejaVu Sans', sans-serif">#0072b2 url(#c1) &lt;script&gt;</text></g>
</svg>"""
NAMES = {"svg": "http://www.w3.org/2000/svg", "xlink": "http://www.w3.org/1999/xlink"}


def described() -> str:
    return svg.described(PLAIN, name="speed", title="A <title>", description="Says & means")


def inlined() -> ElementTree.Element:
    return ElementTree.fromstring(svg.inlined(described(), name="speed", variables={"#0072b2": "--blue"}))  # noqa: S314


def test_a_picture_says_what_it_shows() -> None:
    root = ElementTree.fromstring(described())  # noqa: S314
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "speed-title speed-description"
    assert root.findtext("svg:title", namespaces=NAMES) == "A <title>"
    assert root.findtext("svg:desc", namespaces=NAMES) == "Says & means"


def test_rules_that_would_reach_into_the_page_are_gone() -> None:
    assert "<style" not in described()
    assert "metadata" not in described()


def test_ids_are_the_pictures_own_and_references_follow() -> None:
    root = inlined()
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert ids == {"speed-c1", "speed-axes", "speed-t", "speed-title", "speed-description"}
    group = root.find("svg:g", NAMES)
    assert group is not None
    assert group.get("clip-path") == "url(#speed-c1)"
    use = group.find("svg:use", NAMES)
    assert use is not None
    assert use.get(f"{{{NAMES['xlink']}}}href") == "#speed-m1"


def test_colours_and_font_follow_the_page() -> None:
    root = inlined()
    use = root.find("svg:g/svg:use", NAMES)
    text = root.find("svg:g/svg:text", NAMES)
    assert use is not None
    assert text is not None
    assert use.get("style") == "fill: var(--blue, #0072b2)"
    assert text.get("style") == "font-size: 9px; font-family: inherit"


def test_text_is_left_as_it_was() -> None:
    text = inlined().findtext("svg:g/svg:text", namespaces=NAMES)
    assert text == "#0072b2 url(#c1) <script>"


def test_embedded_data_is_not_taken_for_a_reference() -> None:
    image = inlined().find("svg:g/svg:image", NAMES)
    assert image is not None
    assert image.get(f"{{{NAMES['xlink']}}}href") == "data:image/png;base64,AA"
