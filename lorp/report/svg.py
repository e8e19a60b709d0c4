"""Small pieces of SVG, for pages that must stand alone."""

from markupsafe import Markup

_ELEMENT = Markup("<{0}{1}>{2}</{0}>")
_ATTRIBUTE = Markup(' {}="{}"')


def element(name: str, *children: str, **attributes: str | float) -> Markup:
    """An element; text and attribute values are escaped, children that are markup already are kept.

    Args:
        name: The element's name.
        children: What it holds.
        attributes: `stroke_width=2` becomes `stroke-width="2"`, and `class_` becomes `class`. Numbers keep at most
            two digits after the point.
    """
    written = Markup("").join(
        _ATTRIBUTE.format(key.rstrip("_").replace("_", "-"), _text(value)) for key, value in attributes.items()
    )
    return _ELEMENT.format(name, written, Markup("").join(children))


def text(content: str, x: float, y: float, **attributes: str | float) -> Markup:
    """Text centred on a height, whatever its font."""
    return element("text", content, x=x, y=y, dominant_baseline="central", **attributes)


def line(start: tuple[float, float], end: tuple[float, float], **attributes: str | float) -> Markup:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], **attributes)


def drawing(
    width: float, height: float, name: str, *children: str, role: str = "img", **attributes: str | float
) -> Markup:
    """A drawing of so many pixels that shrinks with its page; `name` is what it is called to who cannot see it."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        width=width,
        height=height,
        role=role,
        aria_label=name,
        **attributes,
    )


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):.10g}"
