"""Our own SVG files made fit for reading aloud, for pages with several of them, and for light and dark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from markupsafe import Markup

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"
_LOCAL_URL = re.compile(r"url\(#([^)]+)\)")
_FONT_FAMILY = re.compile(r"font-family: [^;]*")

ElementTree.register_namespace("", _SVG)
ElementTree.register_namespace("xlink", _XLINK)


def described(svg: str, *, name: str, title: str, description: str) -> str:
    """What matplotlib wrote, with a role, a title and a description for those who listen, and without its noise."""
    root = _parse(svg)
    _drop_global_styles(root)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    # matplotlib's global style rule, as attributes that stay inside this picture.
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.insert(0, _texted("desc", f"{name}-description", description))
    root.insert(0, _texted("title", f"{name}-title", title))
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def inlined(svg: str, *, name: str, variables: Mapping[str, str]) -> Markup:
    """The picture for a page: ids of its own, the page's font, and colours that follow the page's theme.

    Args:
        svg: what ``described`` returned; nothing else is trusted.
        name: starts every id.
        variables: colour as written in the picture (``#0072b2``) to the page's CSS variable for it.
    """
    root = _parse(svg)
    for element in root.iter():
        _own_ids(element, f"{name}-")
        if style := element.get("style"):
            element.set("style", _themed(style, variables))
    for attribute in ("width", "height"):
        root.attrib.pop(attribute, None)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704  our own writer's, parsed above


def _parse(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314  our own writer's file


def _drop_global_styles(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)


def _texted(tag: str, id_: str, text: str) -> ElementTree.Element:
    element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": id_})
    element.text = text
    element.tail = "\n "
    return element


def _own_ids(element: ElementTree.Element, prefix: str) -> None:
    for attribute, value in element.attrib.items():
        if attribute == "id" and not value.startswith(prefix):
            element.set(attribute, prefix + value)
        elif attribute == _HREF and value.startswith("#"):
            element.set(attribute, "#" + prefix + value.removeprefix("#"))
        elif "url(#" in value:
            element.set(attribute, _LOCAL_URL.sub(rf"url(#{prefix}\1)", value))


def _themed(style: str, variables: Mapping[str, str]) -> str:
    for colour, variable in variables.items():
        style = style.replace(colour, f"var({variable}, {colour})")
    return _FONT_FAMILY.sub("font-family: inherit", style)
