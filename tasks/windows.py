"""Corpus -> windows, a stage for each use of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeGuard, get_args

from lorp.architectures import family_of
from lorp.architectures.reading import pairs_for
from lorp.config_file import CONFIG
from lorp.corpus import Windows
from lorp.corpus.address import pair_kind
from lorp.corpus.documents import Document, documents_digest
from lorp.corpus.media import MediumKind, PairKind
from lorp.corpus.mixtures import Mixture, corpus_of, mixtures_of, names_of, of_mixture
from lorp.corpus.pairs import check_pairs, pair_windows
from lorp.corpus.split import calibration_and_evaluation
from lorp.corpus.uses import Dealt, DealtUse, deal, fewest
from lorp.corpus.windows import cut_windows
from lorp.digest import digest_value
from lorp.errors import CorpusError
from lorp.media import check_media, frame_of
from lorp.models import load_tokenizer, token_ids
from lorp.spec import CalibrationSpec, EvaluationSpec, RecompressSpec
from lorp.values import encode
from tasks.corpora import Fetched, read_documents
from tasks.stage import Outputs, Request
from tasks.vault import Reference, Vault

WindowsUse = Literal["calibration", "evaluation"] | DealtUse

TOKENIZER_FILES = ("tokenizer", "special_tokens_map", "added_tokens", "spiece", "vocab", "merges")


@dataclass(frozen=True, kw_only=True)
class CutWindows(Request):
    """The token windows for one use.

    Attributes:
        use: What for.
        checkpoint: Whose tokenizer cuts.
        calibration: Where calibration text comes from, and what is asked of its windows.
        evaluation: The same for evaluation.
        skipped: Windows of the same text that have another use, and are passed over.
        spared: Further ones that have a use in jobs that search for a plan; passed over too where the text gives
            enough, so that jobs that differ in selector alone heal on the same windows.
        sizes: Windows of each kind that this use has.
        fetched: What was fetched from the hub, by address.
        corpus_sha256: Digest of this use's documents.
        model_type: The checkpoint's, which chooses the tokenizer's class where its own files do not name one.
        mixture: The corpora that calibration text is taken from.
        pairs: What windows' texts are made from, if they are pairs.
    """

    STAGE: ClassVar[str] = "windows"
    VERSION: ClassVar[int] = 2
    READS_FILES: ClassVar[bool] = True
    use: WindowsUse
    checkpoint: Reference
    calibration: CalibrationSpec
    evaluation: EvaluationSpec
    skipped: int = 0
    spared: int = 0
    sizes: tuple[int, ...]
    fetched: tuple[tuple[str, Reference], ...] = ()
    corpus_sha256: str
    model_type: str | None = None
    mixture: Mixture
    pairs: PairKind | None = None

    @property
    def _in_turn(self) -> bool:
        return len(self.mixture) > 1 and not of_evaluation(self.use)

    @property
    def _num_asked(self) -> int:
        return self.skipped + self.spared + sum(self.sizes)

    @property
    def _medium(self) -> MediumKind | None:
        return None if self.pairs == "text" else self.pairs

    @property
    def spec(self) -> CalibrationSpec | EvaluationSpec:
        """What is asked of the text."""
        return self.evaluation if of_evaluation(self.use) else self.calibration

    def inputs(self) -> Mapping[str, Any]:
        """Digests of documents and tokenizer, the kind of model, and what is asked of the windows.

        The documents' digest pins their text wherever it comes from; a dataset's name and commit are in the key of the
        stage that fetched it.
        """
        tokenizer = sorted(
            [file.name, file.sha256] for file in self.checkpoint.files if file.name.startswith(TOKENIZER_FILES)
        )
        dealt = {"use": self.use, "skipped": self.skipped, "sizes": list(self.sizes)}
        dealt |= {"spared": self.spared} if self.spared else {}
        return {
            "corpus": self.corpus_sha256,
            "tokenizer": digest_value(tokenizer),
            "model_type": self.model_type,
            "packing": self.spec.packing,
            "num_windows": self.skipped + sum(self.sizes),
            "window_tokens": self.spec.window_tokens,
            "seed": self.spec.seed,
            **({"corpora": "in turn"} if self._in_turn else {}),
            **({"pairs": True} if self.pairs else {}),
            **({"medium": self.pairs, "config": _config_sha256(self.checkpoint)} if self._medium else {}),
            **(dealt if is_dealt(self.use) else {}),
        }

    def compute(self, vault: Vault, scratch: Path) -> Outputs:
        """Tokenizes and cuts."""
        read = read_documents(vault, dict(self.fetched))
        parts = calibration_and_evaluation(self.calibration, self.evaluation, read)
        of_calibration = of_mixture(parts[0], self.mixture, len(self.calibration.corpora))
        windows = self._cut([parts[1]] if of_evaluation(self.use) else of_calibration, vault)
        if self._in_turn:
            self._check_all_are_in(windows)
        if windows.corpus_sha256 != self.corpus_sha256:
            raise CorpusError(f"the {self.use} text changed while it was read", "Run again once it is complete")
        value: Windows | Dealt = windows
        if is_dealt(self.use):
            first = self.skipped + (self.spared if len(windows.windows) == self._num_asked else 0)
            value = deal(self.use, windows.windows[first:], self.sizes)
        return {"windows": vault.put("values", encode(value), ".json")}

    def _cut(self, corpora: Sequence[Sequence[Document]], vault: Vault) -> Windows:
        folder, spec = vault.folder(self.checkpoint), self.spec
        tokenizer = load_tokenizer(folder)

        def tokenize(text: str) -> list[int]:
            return token_ids(tokenizer, text, bool(self.pairs))

        at_least = self.skipped + fewest(self.use, self.sizes) if is_dealt(self.use) else None
        asked = (corpora, tokenize, self._num_asked, spec.window_tokens, spec.seed)
        if self._medium:
            windows = pair_windows(*asked, at_least, frame_of(folder, self._medium, tokenizer.bos_token_id))
            check_media(windows.windows, folder)
            return windows
        if self.pairs:
            return pair_windows(*asked, at_least)
        return cut_windows(*asked, spec.packing, tokenizer.eos_token_id, at_least)

    def _check_all_are_in(self, windows: Windows) -> None:
        there = {corpus_of(window.document) for window in windows.windows}
        for number, name in zip(self.mixture, names_of(self.calibration, self.mixture), strict=True):
            if number not in there and len(windows.windows) >= len(self.mixture):
                raise CorpusError(
                    f"{name} gives no window of {self.spec.window_tokens} tokens",
                    "Give more text of it, ask for shorter windows, or pack short documents with --windows packed",
                )


def is_dealt(use: WindowsUse) -> TypeGuard[DealtUse]:
    """Whether a use gets windows that the first use of its text left."""
    return use in get_args(DealtUse)


def of_evaluation(use: str) -> bool:
    """Whether a use's windows come from evaluation text."""
    return use in {"evaluation", "mixture", "frontier"}


def window_sizes(spec: RecompressSpec) -> dict[WindowsUse, tuple[int, ...]]:
    """How many windows of each kind each use takes, in the order in which they are dealt."""
    sizes: dict[WindowsUse, tuple[int, ...]] = {"calibration": (spec.calibration.num_windows,)}
    if spec.pruning.asks_trials or spec.pruning.remove == "auto":
        sizes["search"] = spec.search.sizes
    if spec.healing.method != "none":
        sizes["healing"] = spec.healing.sizes
    sizes["evaluation"] = (spec.evaluation.num_windows,)
    if len(mixtures_of(spec.calibration)) > 1:
        sizes["mixture"] = (spec.search.num_mixture_windows,)
    if spec.pruning.remove == "auto":
        sizes["frontier"] = (spec.search.num_frontier_windows,)
    return sizes


def windows_beyond(spec: RecompressSpec) -> tuple[int, int]:
    """Windows of calibration and of evaluation text, beyond those that are captured and those of the gate.

    Those of all uses, whether or not they are asked for, so that jobs that differ in selector, healing or count alone
    have the same text.
    """
    search, healing = spec.search, spec.healing
    return sum(search.sizes) + sum(healing.sizes), search.num_mixture_windows + search.num_frontier_windows


def window_requests(
    vault: Vault, checkpoint: Reference, spec: RecompressSpec, fetched: Fetched, mixture: Mixture
) -> dict[WindowsUse, CutWindows]:
    """The stages that cut windows, a use each; those that evaluate from other documents than the rest.

    Args:
        vault: Where fetched text lies.
        checkpoint: Whose tokenizer cuts.
        spec: Corpora and windows.
        fetched: What was fetched from the hub, by address.
        mixture: The corpora that calibration text is taken from.

    Raises:
        CorpusError: Text is missing or empty, cannot be split, or is shared.
    """
    ours, theirs = calibration_and_evaluation(spec.calibration, spec.evaluation, read_documents(vault, fetched))
    taken = [document for corpus in of_mixture(ours, mixture, len(spec.calibration.corpora)) for document in corpus]
    config = _config(vault, checkpoint)
    pairs = pairs_for(family_of(config, spec.pruning.stack), given=are_pairs(spec))
    check_pairs([*taken, *theirs], pairs)
    digests = documents_digest(taken), documents_digest(theirs)
    requests: dict[WindowsUse, CutWindows] = {}
    dealt, all_sizes = [0, 0], window_sizes(spec)
    for use, sizes in all_sizes.items():
        text = int(of_evaluation(use))
        requests[use] = CutWindows(
            use=use,
            label=use,
            checkpoint=checkpoint,
            calibration=spec.calibration,
            evaluation=spec.evaluation,
            skipped=dealt[text],
            spared=sum(spec.search.sizes) if use == "healing" and "search" not in all_sizes else 0,
            sizes=sizes,
            fetched=tuple(fetched.items()),
            corpus_sha256=digests[text],
            model_type=str(config.get("model_type")),
            mixture=mixture,
            pairs=pairs,
        )
        dealt[text] += sum(sizes)
    return requests


def are_pairs(spec: RecompressSpec) -> bool:
    """Whether calibration text is pairs, by its addresses."""
    return any(map(pair_kind, spec.calibration.corpora))


def _config(vault: Vault, checkpoint: Reference) -> dict[str, Any]:
    sha256, size = next((file.sha256, file.bytes) for file in checkpoint.files if file.name == CONFIG)
    config = Reference(key=f"{checkpoint.key}/{CONFIG}", sha256=sha256, bytes=size)
    read: dict[str, Any] = json.loads(vault.read(config))
    return read


def _config_sha256(checkpoint: Reference) -> str:
    return next(file.sha256 for file in checkpoint.files if file.name == CONFIG)
