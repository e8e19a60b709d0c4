"""Addresses of text -> their documents on this machine: files are read where they lie, datasets are fetched once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lorp.corpus.address import is_hub, parse_hub
from lorp.corpus.documents import Document
from lorp.corpus.hub import HubRows, hub_documents, read_rows, resolve_commit
from lorp.corpus.local import MAX_CHARACTERS, read_local
from lorp.corpus.split import Read, calibration_and_evaluation, is_split
from lorp.errors import CorpusError
from lorp.spec import CalibrationSpec, EvaluationSpec
from lorp.values import decode, encode
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault

Fetched = Mapping[str, Reference]

#: Of C4's documents one in 25 has 2,048 tokens, so a window takes some 55,000 characters of it, 27 for each token.
_CHARACTERS_A_TOKEN = 64
_LEAST_CHARACTERS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class FetchRows(Request):
    """The first rows of a dataset on the hub, stored: whoever has the store needs the hub no more.

    Attributes:
        address: The dataset's address.
        commit: What its revision stands for.
        max_characters: After how many characters to stop.
    """

    STAGE: ClassVar[str] = "corpus"
    VERSION: ClassVar[int] = 1
    READS_FILES: ClassVar[bool] = True
    address: str
    commit: str
    max_characters: int

    def inputs(self) -> Mapping[str, Any]:
        """The dataset's name, commit, configuration, split, columns and what they hold, and how much of it is read."""
        corpus = parse_hub(self.address)
        return {
            "dataset": corpus.dataset,
            "commit": self.commit,
            "config": corpus.config,
            "split": corpus.split,
            "column": corpus.rows.column,
            **({"source_column": corpus.rows.source} if corpus.rows.source else {}),
            **({"medium": corpus.rows.medium} if corpus.rows.medium else {}),
            "max_characters": self.max_characters,
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Streams the rows."""
        rows = read_rows(parse_hub(self.address), self.commit, self.max_characters)
        return {"rows": vault.put("corpora", encode(rows), ".json")}


def fetch_rows_requests(
    calibration: CalibrationSpec, evaluation: EvaluationSpec, more_windows: tuple[int, int] = (0, 0)
) -> tuple[FetchRows, ...]:
    """The stages that fetch what lies on the hub; each dataset at the commit that its revision stands for now.

    Args:
        calibration: Where its text lies, and how much of it is needed.
        evaluation: The same.
        more_windows: Of each text, beyond those that are captured, and those of the gate.

    Raises:
        CorpusError: An address is none, or the hub does not know it or cannot be reached.
    """
    return tuple(
        FetchRows(
            label=address,
            address=address,
            commit=resolve_commit(parse_hub(address)),
            max_characters=_character_budget(address, calibration, evaluation, more_windows),
        )
        for address in _hub_addresses(calibration, evaluation)
    )


def read_documents(vault: Vault, fetched: Fetched) -> Read:
    """Reads the documents of one corpus, a dataset's from what was fetched."""

    def read(address: str, window_tokens: int) -> tuple[Document, ...]:
        if not is_hub(address):
            return read_local(address, window_tokens)
        rows = decode(HubRows, vault.read(fetched[address]))
        return hub_documents(rows, parse_hub(address).rows.joined, window_tokens)

    return read


def check_text(calibration: CalibrationSpec, evaluation: EvaluationSpec) -> None:
    """Finds what can be found wrong with the text before anything is fetched.

    Files are read, and compared unless some of the text lies on the hub; of that, only revisions are looked up.

    Raises:
        CorpusError: Text is missing or empty, cannot be split, or is shared; the hub does not know a dataset.
    """
    if fetch_rows_requests(calibration, evaluation):
        is_split(calibration, evaluation)
        for address in {*calibration.corpora, *evaluation.corpora}:
            if not is_hub(address):
                read_local(address)
        return
    _, held_out = calibration_and_evaluation(calibration, evaluation)
    if len(held_out) < 2:
        raise CorpusError(
            "all evaluation text is one document, and a verdict takes at least two",
            "Give more text with --evaluation",
        )


def _hub_addresses(calibration: CalibrationSpec, evaluation: EvaluationSpec) -> tuple[str, ...]:
    corpora = dict.fromkeys((*calibration.corpora, *evaluation.corpora))
    return tuple(address for address in corpora if is_hub(address))


def _character_budget(
    address: str, calibration: CalibrationSpec, evaluation: EvaluationSpec, more_windows: tuple[int, int]
) -> int:
    uses = (
        (calibration, calibration.num_windows + more_windows[0]),
        (evaluation, evaluation.num_windows + more_windows[1]),
    )
    tokens = sum(windows * spec.window_tokens for spec, windows in uses if address in spec.corpora)
    return min(max(_CHARACTERS_A_TOKEN * tokens, _LEAST_CHARACTERS), MAX_CHARACTERS)
