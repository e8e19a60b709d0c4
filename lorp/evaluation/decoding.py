"""Token by token: a prompt is prefilled, then each token is the likeliest after those before it.

What an encoder-decoder is prompted with is a source, from which it makes a text.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from lorp.errors import SpecError
from lorp.feeding import Feed, hears, reads_source, start_token


def text_prompt(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Feed:
    """Texts of one length to go on from; for an encoder-decoder, sources to make texts from.

    Raises:
        SpecError: It makes texts from sounds.
    """
    if hears(model):
        raise SpecError(
            "the model makes texts from sounds, and cannot be asked with a text", "Leave canaries out of the policy"
        )
    ids_BT = torch.tensor([list(tokens) for tokens in prompts], device=model.device)
    if not reads_source(model):
        return Feed(tokens_BT=ids_BT)
    return Feed(tokens_BT=ids_BT, source_BS=ids_BT, start=start_token(model))


def prefill(model: PreTrainedModel, prompted: Feed) -> Any:
    """The model's output, KV cache included, for a prompt; logits of the last position only."""
    last = {} if reads_source(model) else {"logits_to_keep": 1}
    return model(**prompted.prompt, use_cache=True, **last)


def greedy_tokens(model: PreTrainedModel, prompted: Feed) -> Iterator[torch.Tensor]:
    """The likeliest next token of each text, int64 of shape (B,), again and again; never ends by itself.

    Nothing of the checkpoint's own generation settings is used but the token that a decoder starts from.
    """
    output = prefill(model, prompted)
    read = {"encoder_outputs": (output.encoder_last_hidden_state,)} if reads_source(model) else {"logits_to_keep": 1}
    ids = "decoder_input_ids" if reads_source(model) else "input_ids"
    while True:
        next_B = output.logits[:, -1].argmax(dim=-1)
        yield next_B
        output = model(**{ids: next_B.unsqueeze(1)}, past_key_values=output.past_key_values, use_cache=True, **read)


def end_tokens(model: PreTrainedModel) -> frozenset[int]:
    """Tokens that end a text, by the checkpoint's generation settings or else its config."""
    settings = model.generation_config
    found = settings.eos_token_id if settings is not None else None
    for config in (model.config, model.config.get_text_config()):
        found = getattr(config, "eos_token_id", None) if found is None else found
    return frozenset() if found is None else frozenset(found if isinstance(found, list) else [found])
