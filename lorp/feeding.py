"""What a model is given for windows that share a pass, and what it is to predict from that.

Shapes: B windows, T tokens a window, S tokens of a source, V vocabulary.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from lorp.corpus import Window
from lorp.errors import SourceError, first_line
from lorp.media import prepared

#: Windows share a pass up to so many tokens: on a CPU, matrices of 256 rows leave a tenth of its speed unused.
_TOKENS_A_PASS = 512

#: Arguments by which models are told which tokens are an image's.
_KINDS = ("mm_token_type_ids", "token_type_ids")


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed:
    """One pass.

    Attributes:
        tokens_BT: int64; the windows' tokens, one for each part of an image among them.
        source_BS: int64; what an encoder reads, None for a model without, or one that hears.
        start: The token before the first that a decoder predicts; None for a model without an encoder.
        media: Arguments that are made of sounds and images.
        image_BT: bool; which tokens are an image's, None where there is none.
        num_given: How many tokens come first that are not predicted.
        num_heard: How many states an encoder makes of a sound.
    """

    tokens_BT: torch.Tensor
    source_BS: torch.Tensor | None = None
    start: int | None = None
    media: Mapping[str, torch.Tensor] = field(default_factory=dict)
    image_BT: torch.Tensor | None = None
    num_given: int = 0
    num_heard: int = 0

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """The model's arguments. A decoder with an encoder is forced: given the true tokens before each."""
        if self.start is None:
            return {"input_ids": self.tokens_BT, **self.media}
        starts_B1 = torch.full_like(self.tokens_BT[:, :1], self.start)
        return {**self.read, "decoder_input_ids": torch.cat([starts_B1, self.tokens_BT[:, :-1]], dim=1)}

    @property
    def prompt(self) -> dict[str, torch.Tensor]:
        """The arguments with which a model begins to write: a decoder with an encoder from nothing but its start."""
        if self.start is None:
            return self.inputs
        return {**self.read, "decoder_input_ids": torch.full_like(self.tokens_BT[:, :1], self.start)}

    @property
    def read(self) -> dict[str, torch.Tensor]:
        """What an encoder is given."""
        return dict(self.media) if self.source_BS is None else {"input_ids": self.source_BS}

    @property
    def num_read(self) -> int:
        """Tokens of a source, or of a text that is gone on from; of a sound the states that an encoder makes of it."""
        return self.num_heard or int((self.tokens_BT if self.source_BS is None else self.source_BS).shape[1])

    @property
    def by_shape(self) -> bool:
        """Whether all that blocks are given beside the state follows from the tokens' shape."""
        return self.source_BS is None and not self.media

    def said_of(self, logits_BTV: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Window by window, the logits that predict a token, and these tokens.

        All but a text's first, and those that are given; with an encoder all.
        """
        first = max(self.num_given, 1)
        for logits_TV, ids_T in zip(logits_BTV, self.tokens_BT, strict=True):
            yield (logits_TV[first - 1 : -1], ids_T[first:]) if self.start is None else (logits_TV, ids_T)


def feed_of(windows: Sequence[Window], model: PreTrainedModel) -> Feed:
    """What a model is given for windows of one length, and one length of their sources; a sound or image is alone.

    Raises:
        CorpusError: A sound or an image cannot be read.
        SourceError: The checkpoint does not say how to prepare it.
    """
    tokens_BT = torch.tensor([window.tokens for window in windows], device=model.device)
    if windows[0].medium:
        [window] = windows
        return _feed_of_medium(window, tokens_BT, model)
    if not reads_source(model):
        return Feed(tokens_BT=tokens_BT)
    source_BS = torch.tensor([window.source for window in windows], device=model.device)
    return Feed(tokens_BT=tokens_BT, source_BS=source_BS, start=start_token(model))


def prompt_of(windows: Sequence[Window], model: PreTrainedModel, num_tokens: int) -> Feed:
    """What a model is given to write: the first tokens of texts, an image, or a source; arguments as for `feed_of`."""
    given = windows[0].num_given or num_tokens
    return feed_of([replace(window, tokens=window.tokens[:given]) for window in windows], model)


def reads_source(model: PreTrainedModel) -> bool:
    """Whether it has an encoder, which reads a source from which its decoder makes a text."""
    return bool(getattr(model.config, "is_encoder_decoder", False))


def hears(model: PreTrainedModel) -> bool:
    """Whether what its encoder reads is a sound."""
    return reads_source(model) and model.main_input_name == "input_features"


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
    """Windows that share a pass: neighbours of equal length, as long as they are short; a sound or image is alone."""
    for (length, source, alone), alike in groupby(windows, key=_shape):
        while passed := list(islice(alike, 1 if alone else max(1, _TOKENS_A_PASS // max(length, source)))):
            yield passed


def _shape(window: Window) -> tuple[int, int, bool]:
    return len(window.tokens), len(window.source), window.medium is not None


def _feed_of_medium(window: Window, tokens_1T: torch.Tensor, model: PreTrainedModel) -> Feed:
    assert window.medium
    media = {
        name: (value.to(model.dtype) if value.is_floating_point() else value).to(model.device)
        for name, value in prepared(window.medium, Path(str(model.name_or_path))).items()
    }
    if window.medium.kind == "sound":
        heard = model.config.max_source_positions
        return Feed(tokens_BT=tokens_1T, start=start_token(model), media=media, num_heard=heard)
    return _with_image(window, tokens_1T, media, model)


def _num_parts(media: dict[str, torch.Tensor], model: Any) -> int:
    try:
        with torch.inference_mode():
            features = model.get_image_features(**media).pooler_output
    except (ValueError, RuntimeError) as fault:
        raise SourceError(
            f"an image as preprocessor_config.json prepares it is none for the model: {first_line(fault)}",
            "Fetch the checkpoint again",
        ) from fault
    return sum(int(part.shape[:-1].numel()) for part in features)


def _with_image(window: Window, tokens_1T: torch.Tensor, media: dict[str, torch.Tensor], model: Any) -> Feed:
    """The token that stands for an image becomes as many as the model makes features of it."""
    known = inspect.signature(model.get_image_features).parameters
    media = {name: value for name, value in media.items() if name in known}
    num_parts = _num_parts(media, model)
    is_image_T = tokens_1T[0] == model.config.image_token_id
    repeats_T = torch.where(is_image_T, num_parts, 1)
    tokens_1T, image_1T = (each.repeat_interleave(repeats_T)[None] for each in (tokens_1T[0], is_image_T))
    arguments = inspect.signature(model.forward).parameters
    kinds = {name: image_1T.long() for name in _KINDS if name in arguments}
    num_given = int(repeats_T[: window.num_given].sum())
    return Feed(tokens_BT=tokens_1T, media={**media, **kinds}, image_BT=image_1T, num_given=num_given)
