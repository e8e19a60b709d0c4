"""Errors: a reason and a remedy in one line, and an exit status that says whose fault it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lorp.errors
from lorp.errors import InputError, IntegrityError, LorpError, RegistryError

KINDS = [kind for kind in vars(lorp.errors).values() if isinstance(kind, type) and issubclass(kind, LorpError)]


def test_it_says_the_reason_and_then_the_remedy() -> None:
    assert str(LorpError("there is no file x", "Give one")) == "there is no file x. Give one."


@pytest.mark.parametrize("end", ["", ".", "...", ". ", " ", ".\n", "\n"])
def test_a_quoted_message_s_full_stop_is_not_doubled(end: str) -> None:
    assert str(LorpError(f"cannot read x: is a directory{end}", "Give a file")) == (
        "cannot read x: is a directory. Give a file."
    )


@pytest.mark.parametrize(
    "quoted",
    ["a\nb", "a\r\nb", "a\tb", "a\vb", "a\fb", "a\x00b", "a\x1b[31mb", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b"],
    ids=ascii,
)
def test_one_line_whatever_is_quoted(quoted: str) -> None:
    said = str(LorpError(f"there is no file {quoted}", f"Give {quoted}"))
    assert len(said.splitlines()) == 1
    assert not any(ord(character) < 0x20 or ord(character) == 0x7F for character in said)


@given(reason=st.text(min_size=1), remedy=st.text(min_size=1))
def test_one_line_of_any_text(reason: str, remedy: str) -> None:
    assert len(str(LorpError(reason, remedy)).splitlines()) == 1


def test_no_user_and_no_password_of_an_address_is_kept() -> None:
    fault = LorpError("http://alice:hunter2@host/api and s3://KEY:SECRET@bucket/x fail", "Look at ftp://bob@host")
    assert str(fault) == "http://host/api and s3://bucket/x fail. Look at ftp://host."
    assert not any(word in repr(fault) for word in ("alice", "hunter2", "SECRET", "bob"))


def test_reason_and_remedy_are_kept_as_given() -> None:
    error = LorpError("a\nb.", "Do it")
    assert (error.reason, error.remedy) == ("a\nb.", "Do it")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_caught_as_one_and_stands_in_the_drawn_tree(kind: type[LorpError]) -> None:
    assert kind.__name__ in (lorp.errors.__doc__ or "")
    with pytest.raises(LorpError, match=r"why\. What to do\."):
        raise kind("why", "What to do")


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_person_gave_exits_with_2_and_a_fault_with_1(kind: type[LorpError]) -> None:
    assert kind.exit_status == (2 if issubclass(kind, InputError) else 1)


def test_broken_stores_and_registries_are_faults() -> None:
    assert IntegrityError.exit_status == RegistryError.exit_status == 1
