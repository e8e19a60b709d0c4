"""What a model is given for windows that share a pass, and what it is to predict from that.

Shapes: B windows, T tokens a window, S tokens of a source, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import torch
from transformers import PreTrainedModel

from lorp.corpus import Window
from lorp.errors import SourceError

#: Windows share a pass up to so many tokens: on a CPU, matrices of 256 rows leave a tenth of its speed unused.
_TOKENS_A_PASS = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed:
    """One pass.

    Attributes:
        tokens_BT: int64; the windows' tokens.
        source_BS: int64; what an encoder reads, None for a model without.
        start: The token before the first that a decoder predicts; None for a model without an encoder.
    """

    tokens_BT: torch.Tensor
    source_BS: torch.Tensor | None = None
    start: int | None = None

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """The model's arguments. A decoder with an encoder is forced: given the true tokens before each."""
        if self.source_BS is None:
            return {"input_ids": self.tokens_BT}
        starts_B1 = torch.full_like(self.tokens_BT[:, :1], self.start or 0)
        return {
            "input_ids": self.source_BS,
            "decoder_input_ids": torch.cat([starts_B1, self.tokens_BT[:, :-1]], dim=1),
        }

    def said_of(self, logits_BTV: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Window by window, the logits that predict a token, and these tokens: all but a text's first."""
        for logits_TV, ids_T in zip(logits_BTV, self.tokens_BT, strict=True):
            yield (logits_TV[:-1], ids_T[1:]) if self.source_BS is None else (logits_TV, ids_T)


def feed_of(windows: Sequence[Window], model: PreTrainedModel) -> Feed:
    """What a model is given for windows of one length, and one length of their sources."""
    tokens_BT = torch.tensor([window.tokens for window in windows], device=model.device)
    if not reads_source(model):
        return Feed(tokens_BT=tokens_BT)
    source_BS = torch.tensor([window.source for window in windows], device=model.device)
    return Feed(tokens_BT=tokens_BT, source_BS=source_BS, start=start_token(model))


def reads_source(model: PreTrainedModel) -> bool:
    """Whether it has an encoder, which reads a source from which its decoder makes a text."""
    return bool(getattr(model.config, "is_encoder_decoder", False))


def start_token(model: PreTrainedModel) -> int:
    """The token before the first that a decoder with an encoder predicts, by its config or its generation settings.

    Raises:
        SourceError: Neither says, or says one that the model does not know.
    """
    for name in ("decoder_start_token_id", "bos_token_id"):
        for settings in (model.config, model.generation_config):
            token: Any = getattr(settings, name, None)
            if token is None:
                continue
            if type(token) is not int or not 0 <= token < model.config.vocab_size:
                raise SourceError(f"{name} of its config is no token of its vocabulary", "Mend the config")
            return token
    raise SourceError("its config has no decoder_start_token_id", "Fetch the checkpoint again")


def feeds(windows: Sequence[Window], model: PreTrainedModel) -> list[Feed]:
    """What it is given for all of them, pass by pass."""
    return [feed_of(passed, model) for passed in passes_of(windows)]


def passes_of(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Windows that share a pass: neighbours of equal length, as long as they are short."""
    for (length, source), alike in groupby(windows, key=lambda window: (len(window.tokens), len(window.source))):
        while passed := list(islice(alike, max(1, _TOKENS_A_PASS // max(length, source)))):
            yield passed
