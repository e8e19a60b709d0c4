"""Questions + model -> an answer to each, by lm-eval's own wrapper of a transformers model.

Tokens of a context and a choice, their split, truncation from the left and special tokens are thus lm-eval's.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorp.errors import CorpusError, SourceError
from lorp.evaluation.downstream.questions import Question
from lorp.evaluation.downstream.quiet import quiet_harness
from lorp.evaluation.downstream.results import ItemResult
from lorp.progress import track

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

#: A batch of several would be padded, and a log-likelihood then depend, in its last digits, on its neighbours.
_BATCH_SIZE = 1


def answer_questions(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]
) -> tuple[ItemResult, ...]:
    """The log-likelihood of every choice of every question, with softmax in float32.

    Contexts longer than the model's own are truncated from the left. All questions are checked before the first is
    answered.

    Raises:
        CorpusError: A choice has no tokens, or more than the model takes.
        SourceError: Neither tokenizer nor config names a token to begin a text with.
    """
    with quiet_harness():
        harness = _wrap(model, tokenizer)
        for question in questions:
            _check(harness, question)
        return tuple(_answer(harness, question) for question in track(questions, "answer questions"))


def _wrap(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> "HFLM":
    from lm_eval.models.huggingface import HFLM

    with _weights_as_loaded(model):
        return HFLM(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=_BATCH_SIZE,
            softmax_dtype="float32",
            prefix_token_id=_prefix_token(model, tokenizer),
        )


@contextmanager
def _weights_as_loaded(model: PreTrainedModel) -> Iterator[None]:
    """Keeps lm-eval from tying weights anew, which replaces a head that is stored beside a config that ties it."""
    vars(model)["tie_weights"] = lambda *_, **__: None
    try:
        yield
    finally:
        del vars(model)["tie_weights"]


def _prefix_token(model: PreTrainedModel, tokenizer: Any) -> int:
    """What precedes a choice without context: BOS or else EOS, of the tokenizer or else of the config."""
    for owner in (tokenizer, model.config, model.config.get_text_config()):
        for name in ("bos_token_id", "eos_token_id"):
            token = getattr(owner, name, None)
            if isinstance(token, int):
                return token
    raise SourceError("neither tokenizer nor config names a BOS or EOS token", "Add bos_token_id to config.json")


def _check(harness: "HFLM", question: Question) -> None:
    for context, continuation in zip(question.contexts, question.continuations, strict=True):
        num_tokens = _num_scored(harness, context, continuation)
        if not 1 <= num_tokens <= harness.max_length:
            raise CorpusError(
                f"a choice of {question.item} of the task {question.task} has {num_tokens} tokens, "
                f"and this model can score 1 to {harness.max_length}",
                "Leave the item or the task out",
            )


def _num_scored(harness: "HFLM", context: str, continuation: str) -> int:
    """Tokens that are scored; none where there is a context, but not one token of it."""
    if context:
        head: list[int] = harness.tok_encode(context.rstrip())
        return len(harness.tok_encode(context + continuation)) - len(head) if head else 0
    tokens: list[int] = harness.tok_encode(continuation, add_special_tokens=False)
    return len(tokens) - (tokens[:1] == [harness.prefix_token_id])


def _answer(harness: "HFLM", question: Question) -> ItemResult:
    from lm_eval.api.instance import Instance

    pairs = zip(question.contexts, question.continuations, strict=True)
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=index) for index, pair in enumerate(pairs)
    ]
    answers = harness.loglikelihood(instances, disable_tqdm=True)
    return ItemResult(
        task=question.task,
        item=question.item,
        cluster=question.cluster,
        metric=question.metric,
        label=question.label,
        lengths=question.lengths,
        loglikelihoods=tuple(value if math.isfinite(value) else None for value, _ in answers),
    )
