"""A licence is an identifier, whatever else lies in a stranger's card."""

from pathlib import Path

import pytest

from lorp.licence import licence_of_card


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: Apache-2.0\n---\n", "apache-2.0"),
        ("---\r\nlicense: mit\r\n---\r\n# A model", "mit"),
        ("---\nlicense: other\nlicense_name: llama3.1\n---\n", "llama3.1"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [mit, apache-2.0]\n---\n", None),
        ("---\nlicense: mit\n", None),
        ("# A model\n\nlicense: mit\n", None),
        ("---\nlicense: '](http://x) <script>'\n---\n", None),
        ("---\ndate: 2023-13-45\nlicense: mit\n---\n", None),
        ("---\nx: 0b_\n---\n", None),
        ("---\n- a\n- b\n---\n", None),
        ("---\n&a [*a]\n---\n", None),
        ("---\n" + "[" * 5000 + "\n---\n", None),
        ("", None),
    ],
)
def test_only_an_identifier_is_taken_over(tmp_path: Path, text: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_bytes(text.encode())
    assert licence_of_card(tmp_path / "README.md") == licence


def test_without_a_card_no_licence_is_known(tmp_path: Path) -> None:
    assert licence_of_card(tmp_path / "README.md") is None
    (tmp_path / "README.md").mkdir()
    assert licence_of_card(tmp_path / "README.md") is None
    (tmp_path / "card").write_bytes(b"\xff" * 100)
    assert licence_of_card(tmp_path / "card") is None
