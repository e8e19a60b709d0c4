"""Evaluation windows -> questions: which of four passages of one document goes on where a text breaks off?

It needs no data of its own: the false choices are the document's own words, so that neither topic nor style gives the
answer away.
"""

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from lorp.corpus import Window
from lorp.errors import CorpusError
from lorp.evaluation.downstream.questions import Question, Questions, one_task
from lorp.spec import EMBEDDED_TASK

NUM_CHOICES = 4
LONGEST_CHOICE = 16
CONTEXT_CHOICES = 2
QUESTIONS_A_PASSAGE = 2

Detokenize = Callable[[Sequence[int]], str]

_GAP = re.compile(r"\s+(?=\S)")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A stretch of a document's text that overlaps no other."""

    id: str
    document: str
    text: str


def window_passages(windows: Iterable[Window], detokenize: Detokenize) -> tuple[Passage, ...]:
    """The windows' texts. Their first and last words may be cut apart."""
    return tuple(Passage(id=window.id, document=window.document, text=detokenize(window.tokens)) for window in windows)


def continuation_questions(passages: Sequence[Passage], limit: int | None, seed: int) -> Questions:
    """Questions from as many documents as possible, at most two a passage.

    A choice is 16 words that begin within a line, the context the 32 words before the true one; fewer where passages
    are short, in the same proportion. The three false ones come from anywhere in the same document, and overlap
    neither context nor truth nor each other. Questions are taken from one document after another, in a seeded order,
    until the limit is met.

    Args:
        passages: Of all documents; those of one document need not stand together.
        limit: Most questions; all that can be had if None.
        seed: Chooses places, false choices, and their order.

    Raises:
        CorpusError: The passages are too short for a single question.
    """
    documents = [list(group) for _, group in groupby(sorted(passages, key=_document), key=_document)]
    piles = [_questions(document, seed) for document in random.Random(seed).sample(documents, len(documents))]
    deepest = max(map(len, piles), default=0)
    in_turn = [pile[round_] for round_ in range(deepest) for pile in piles if round_ < len(pile)]
    if not in_turn:
        raise CorpusError(
            f"the evaluation windows are too short for the task {EMBEDDED_TASK}",
            "Evaluate longer windows with --window-tokens, or other tasks with --tasks",
        )
    return one_task(in_turn[:limit], source="evaluation text", num_fewshot=0)


@dataclass(frozen=True, kw_only=True)
class _Span:
    """Some words of a passage, by index of the gaps before the first and after the last."""

    passage: "_Words"
    first: int
    end: int

    @property
    def text(self) -> str:
        gaps = self.passage.gaps
        return self.passage.text[gaps[self.first] : gaps[self.end]]

    def overlaps(self, other: "_Span") -> bool:
        return self.passage.id == other.passage.id and self.first < other.end and other.first < self.end


@dataclass(frozen=True, kw_only=True)
class _Words:
    """A passage and the positions of its gaps: the white space before each word that is certainly a whole one."""

    id: str
    text: str
    gaps: tuple[int, ...]

    def spans(self, num_words: int) -> list[_Span]:
        """All spans of so many words that begin within a line; the first and the last word are in none."""
        return [
            _Span(passage=self, first=first, end=first + num_words)
            for first in range(len(self.gaps) - num_words)
            if self.text[self.gaps[first]] == " " and not self.text[self.gaps[first] + 1].isspace()
        ]


def _document(passage: Passage) -> str:
    return passage.document


def _questions(document: Sequence[Passage], seed: int) -> list[Question]:
    """All questions of one document, in a seeded order."""
    words = [_words(passage) for passage in document]
    questions = [question for passage in words for question in _passage_questions(passage, words, document[0], seed)]
    return random.Random(f"{seed}/{document[0].document}").sample(questions, len(questions))


def _words(passage: Passage) -> _Words:
    return _Words(id=passage.id, text=passage.text, gaps=tuple(match.start() for match in _GAP.finditer(passage.text)))


def _passage_questions(passage: _Words, document: Sequence[_Words], of: Passage, seed: int) -> list[Question]:
    num_words = max(1, min(LONGEST_CHOICE, len(passage.gaps) // (2 * NUM_CHOICES)))
    num_context = min(CONTEXT_CHOICES * num_words, len(passage.gaps) - NUM_CHOICES * num_words)
    if num_context < 1:
        return []
    rng = random.Random(f"{seed}/{passage.id}")
    places = [span for span in passage.spans(num_words) if span.first >= num_context]
    candidates = [span for words in document for span in words.spans(num_words)]
    questions: list[Question] = []
    for truth in _apart(rng.sample(places, len(places))):
        context = _Span(passage=passage, first=truth.first - num_context, end=truth.first)
        false = _false_choices(truth, context, rng.sample(candidates, len(candidates)))
        if false:
            questions.append(_question(of, context, truth, false, rng))
        if len(questions) == QUESTIONS_A_PASSAGE:
            break
    return questions


def _apart(spans: Iterable[_Span], taken: Sequence[_Span] = ()) -> Iterable[_Span]:
    """Those of the spans that overlap none before them, nor any taken already."""
    seen = list(taken)
    for span in spans:
        if not any(span.overlaps(other) for other in seen):
            seen.append(span)
            yield span


def _false_choices(truth: _Span, context: _Span, candidates: Sequence[_Span]) -> list[_Span]:
    """The first three candidates that differ in place and words from truth, context and each other; else none."""
    chosen = {truth.text: truth}
    for span in _apart(candidates, [truth, context]):
        chosen.setdefault(span.text, span)
        if len(chosen) == NUM_CHOICES:
            return [span for text, span in chosen.items() if text != truth.text]
    return []


def _question(of: Passage, context: _Span, truth: _Span, false: Sequence[_Span], rng: random.Random) -> Question:
    order = rng.sample([truth, *false], NUM_CHOICES)
    choices = tuple(span.text for span in order)
    return Question(
        task=EMBEDDED_TASK,
        item=f"{truth.passage.id}+{truth.passage.gaps[truth.first]}",
        cluster=of.document,
        metric="acc_norm",
        contexts=(context.text.lstrip(),) * NUM_CHOICES,
        continuations=choices,
        lengths=tuple(len(choice) - 1 for choice in choices),
        label=order.index(truth),
    )
