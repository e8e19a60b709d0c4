"""Documents: any change of what there is shows in the digest, and nothing but text is text."""

import pytest
from texts import documents

from lorp.corpus import Document
from lorp.corpus.documents import checked_text, distinct, documents_digest
from lorp.errors import CorpusError


def test_the_digest_of_documents_shows_any_change() -> None:
    given_documents = documents(5, 6)
    renamed = [Document(id="other", text=given_documents[0].text), given_documents[1]]
    changed = [Document(id=given_documents[0].id, text="other"), given_documents[1]]
    lists = (given_documents, given_documents[::-1], given_documents[:1], renamed, changed)
    assert len({documents_digest(listed) for listed in lists}) == len(lists)


def test_each_text_counts_once_and_blank_ones_not_at_all() -> None:
    found = distinct(Document(id=str(number), text=text) for number, text in enumerate(["a", " \n", "b", "a", ""]))
    assert [(document.id, document.text) for document in found] == [("0", "a"), ("2", "b")]


@pytest.mark.parametrize("value", [3, 1.5, True, ["a"], {"a": "b"}, b"a"])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(CorpusError, match=f"row 3 is no text but {type(value).__name__}"):
        checked_text(value, "row 3")


@pytest.mark.parametrize(("value", "reason"), [("a\0b", "NUL"), ("a\ud800b", "half a surrogate")])
def test_text_that_no_file_of_text_holds_is_refused(value: str, reason: str) -> None:
    with pytest.raises(CorpusError, match=f"row 3 holds .*{reason}"):
        checked_text(value, "row 3")


def test_no_value_counts_as_no_text() -> None:
    assert checked_text(None, "row 3") == ""
