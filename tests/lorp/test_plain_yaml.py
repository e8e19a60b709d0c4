"""YAML that others wrote is plain values, or is refused in one line."""

import pytest

from lorp.plain_yaml import plain_yaml


def test_plain_values_are_read() -> None:
    assert plain_yaml("a: 1\nb: [x, 2.5, true]\nc:\n  d: null\n") == {"a": 1, "b": ["x", 2.5, True], "c": {"d": None}}


@pytest.mark.parametrize(
    "text",
    [
        "!!int ''", "!!float ''", "!!bool x", "!!timestamp x", "!!python/object/apply:os.system [ls]", "[a", "a: b: c",
        "{[a]: 1}", "'\x00'", "2024-13-45", "[" * 3000, "a: &a [*a]", "- " * 60,
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"\A.+\Z") as caught:
        plain_yaml(text)
    assert type(caught.value) is ValueError


def test_names_for_values_are_refused_where_they_stand() -> None:
    with pytest.raises(ValueError, match=r"line 2: \*a stands for another value"):
        plain_yaml("x: &a [1]\ny: *a\n")
