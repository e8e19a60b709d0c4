"""Small models that have learnt something: a minute's training on the documentation that comes with Python."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from pico import save_byte_tokenizer

_BATCH, _LENGTH, _RATE = 16, 64, 5e-3

Draw = Callable[[random.Random], dict[str, Any]]


def train(model: Any, folder: Path, draw: Draw, steps: int) -> Path:
    """Trains a model on batches that are drawn, and writes it with a tokenizer of single bytes."""
    import torch

    seeded = random.Random(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        model(**draw(seeded)).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval().save_pretrained(folder)
    save_byte_tokenizer(folder)
    return folder


def text_batch(seeded: random.Random) -> dict[str, Any]:
    """Pieces of text for a language model."""
    import torch

    tokens = tokens_of_topics()
    starts = [seeded.randrange(len(tokens) - _LENGTH) for _ in range(_BATCH)]
    ids = torch.tensor([tokens[start : start + _LENGTH] for start in starts])
    return {"input_ids": ids, "labels": ids}


@cache
def tokens_of_topics() -> list[int]:
    """The topics as single bytes."""
    import tempfile

    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        save_byte_tokenizer(Path(folder))
        ids: list[int] = AutoTokenizer.from_pretrained(folder)("\n".join(topics.values()), verbose=False)["input_ids"]
    return ids
