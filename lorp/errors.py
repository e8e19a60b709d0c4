"""The tree of errors. Each carries what is wrong (`reason`) and what to do about it (`remedy`).

LorpError                      exit status 1: a fault
├── IntegrityError             stored bytes are not what their digest says
├── RegistryError              the model registry did not do what it was asked
├── OutageError                an object store or a source of checkpoints does not answer
└── InputError                 exit status 2: something a person gave cannot be used
    ├── SpecError              an option or a configuration file
    ├── SourceError            a source that is no usable checkpoint
    │   ├── UnsafeCheckpointError        it could run code, or hides where its bytes lie
    │   └── UnknownArchitectureError     its family is not described in `lorp.architectures`
    ├── CorpusError            text that is missing, empty, too short, or used twice
    ├── CountError             a number of blocks that cannot be removed
    ├── HealingError           blocks that cannot be healed as asked
    ├── SimilarityError        a matrix from which nothing can be derived
    └── StoreError             an object store that cannot be opened or written
        └── SpaceError                   a disk that has no room for what is to be written
"""

import re
from typing import ClassVar

#: Of a reason or a remedy: what is quoted may be as long as a file.
_MOST_CHARACTERS = 2_000
_SHOWN_CHARACTERS = 200
_USER = re.compile(r"(?<=://)[^/\s@]*@")


def without_passwords(text: str) -> str:
    """A text whose addresses name neither user nor password."""
    return _USER.sub("", text)


def first_line(fault: BaseException) -> str:
    """What a library's error says, as far as it fits into an error of ours; its kind where it says nothing."""
    return next(iter(str(fault).strip().splitlines()), "")[:_SHOWN_CHARACTERS] or type(fault).__name__


def one_line(text: str) -> str:
    """A text of printable characters alone, cut off where it is very long.

    What moves a terminal's cursor, turns the direction of writing or cannot be encoded becomes a space.
    """
    shown = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."
    return "".join(character if character.isprintable() else " " for character in shown)


class LorpError(Exception):
    """Something went wrong that a person can act upon.

    Args:
        reason: What is wrong, without a full stop.
        remedy: What to do, without a full stop.

    Attributes:
        exit_status: Of a command that ends with it.
        can_pass: Whether the same attempt may succeed a little later.
    """

    exit_status: ClassVar[int] = 1
    can_pass: ClassVar[bool] = False

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason, self.remedy = without_passwords(reason), without_passwords(remedy)
        super().__init__(self.reason, self.remedy)

    def __str__(self) -> str:
        """One line, whatever the reason quotes."""
        reason, remedy = (one_line(text).rstrip(". ") for text in (self.reason, self.remedy))
        return f"{reason}. {remedy}."


class IntegrityError(LorpError):
    """Stored bytes are not what their digest says."""


class RegistryError(LorpError):
    """The model registry did not do what it was asked."""

    can_pass: ClassVar[bool] = True


class OutageError(LorpError):
    """An object store or a source of checkpoints does not answer."""

    can_pass: ClassVar[bool] = True


class InputError(LorpError):
    """Something a person gave cannot be used."""

    exit_status: ClassVar[int] = 2


class SpecError(InputError):
    """An option or a configuration file cannot be used."""


class SourceError(InputError):
    """The source is no usable checkpoint."""


class UnsafeCheckpointError(SourceError):
    """The checkpoint could run code, or hides where its bytes lie."""


class UnknownArchitectureError(SourceError):
    """The checkpoint's family is not described in `lorp.architectures`."""


class CorpusError(InputError):
    """Text is missing, empty, too short, or used twice."""


class CountError(InputError):
    """That number of blocks cannot be removed."""


class HealingError(InputError):
    """Blocks that cannot be healed as asked."""


class SimilarityError(InputError):
    """Nothing can be derived from this similarity matrix."""


class StoreError(InputError):
    """The object store cannot be opened or written."""


class SpaceError(StoreError):
    """A disk has no room for what is to be written."""
