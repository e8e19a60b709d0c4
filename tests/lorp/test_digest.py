"""Digests: equal values have equal digests on every machine, and any change shows."""

import hashlib
import math
from pathlib import Path

import pytest

from lorp.digest import (
    FileDigest,
    canonical_json,
    digest_bytes,
    digest_file,
    digest_listing,
    digest_value,
    list_files,
)

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC_SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def file_digest(name: str = "a", sha256: str = ABC_SHA256, size: int = 3) -> FileDigest:
    return FileDigest(name=name, sha256=sha256, bytes=size)


def test_canonical_json_is_sorted_dense_ascii() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "é", "c": {"z": True, "y": ()}}) == (
        b'{"a":"\\u00e9","b":[1,2.5,null],"c":{"y":[],"z":true}}'
    )


def test_the_order_of_keys_does_not_change_a_digest() -> None:
    assert digest_value({"a": 1, "b": 2}) == digest_value({"b": 2, "a": 1})


@pytest.mark.parametrize("other", [{"a": 2}, {"b": 1}, {"a": "1"}, {"a": 1.0}, {"a": [1]}, {"a": None}, {}])
def test_another_value_has_another_digest(other: dict[str, object]) -> None:
    assert digest_value(other) != digest_value({"a": 1})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": [number]})


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", Path("a"), object()])
def test_what_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json({"a": value})


def test_digests_are_sha256_in_lower_case_hexadecimal() -> None:
    assert digest_bytes(b"") == EMPTY_SHA256
    assert digest_bytes(b"abc") == ABC_SHA256
    assert digest_value("abc") == hashlib.sha256(b'"abc"').hexdigest()


@pytest.mark.parametrize("size", [0, 3, (4 << 20) - 1, 4 << 20, (4 << 20) + 1])
def test_a_file_s_digest_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    content = b"abc" * (size // 3 + 1)
    (tmp_path / "file").write_bytes(content[:size])
    assert digest_file(tmp_path / "file") == digest_bytes(content[:size])


def test_a_listing_s_order_does_not_matter() -> None:
    files = [file_digest("a"), file_digest("b", EMPTY_SHA256, 0), file_digest("c")]
    assert digest_listing(files) == digest_listing(reversed(files))


@pytest.mark.parametrize(
    "changed",
    [
        [file_digest(name="b")],
        [file_digest(sha256=EMPTY_SHA256)],
        [file_digest(size=4)],
        [file_digest(), file_digest(name="b")],
        [],
    ],
    ids=["name", "content", "size", "one more file", "no file"],
)
def test_any_change_of_a_listing_shows(changed: list[FileDigest]) -> None:
    assert digest_listing(changed) != digest_listing([file_digest()])


def test_the_named_files_are_listed_by_name(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "not named").write_bytes(b"x")
    assert list_files(tmp_path, ["b", "a"]) == (file_digest("a"), file_digest("b", EMPTY_SHA256, 0))


def test_equal_folders_have_equal_digests_wherever_they_are(tmp_path: Path) -> None:
    digests = []
    for place in ("here", "there"):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "a").write_bytes(b"abc")
        digests.append(digest_listing(list_files(folder, ["a"])))
    assert digests[0] == digests[1]
