"""A family's checkpoint and what is made of it."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from families import Case, make_case
from sounds import noise, sound, wav
from transformers import PreTrainedModel

from lorp.architectures import family_of
from lorp.body import given_by
from lorp.capture import WindowCapture, capture_windows
from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.clustering import cluster_blocks, num_clusters_for
from lorp.config_file import read_json
from lorp.corpus import Window
from lorp.feeding import feed_of, hears
from lorp.models import load_model, load_tokenizer
from lorp.parquet import decode_windows, encode_windows
from lorp.plan import PruningPlan, Removal, plan_of
from lorp.selection import Grounds, make_plan
from lorp.similarity import similarity_of
from lorp.spec import ComputeSpec, PruningSpec
from lorp.surgery import prune

INPUT = torch.arange(40).unsqueeze(0) * 5 % 256
SOURCE = torch.arange(24).unsqueeze(0) * 7 % 256
WINDOW = Window(id="w", document="d", text_sha256="", tokens=tuple(INPUT[0].tolist()), source=tuple(SOURCE[0].tolist()))
HEARD = replace(WINDOW, source=(), medium=sound(wav(noise(0))))
#: Blocks to remove: one, those before a cadence, all of one kind, every other one, all but the ends.
REMOVALS = ((1,), (0, 1), (0, 3), (2, 5), (0, 2, 4), (1, 2, 3, 4))


class Row:
    """A case's checkpoint and what is made of it."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder

    @cached_property
    def source(self) -> Path:
        return make_case(self.case, self.folder / "dense")

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.source, self.case.stack)

    @cached_property
    def dense(self) -> PreTrainedModel:
        return load_model(self.source, ComputeSpec())

    @cached_property
    def captures(self) -> list[WindowCapture]:
        tokenizer = load_tokenizer(self.source)
        text = inspect.getdoc(np.ndarray) or ""
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        windows = [
            Window(
                id=f"{start}@0",
                document=str(start),
                text_sha256="0" * 64,
                tokens=tuple(tokens[start:][:32]),
                source=tuple(tokens[start + 32 :][:32]) if self.case.stack and not hears(self.dense) else (),
                medium=sound(wav(noise(start))) if hears(self.dense) else None,
            )
            for start in range(0, 256, 32)
        ]
        return capture_windows(self.dense, self.checkpoint.family, windows, sampled_tokens=4, seed=0)

    @cached_property
    def plan(self) -> PruningPlan:
        similarity = similarity_of([decode_windows(encode_windows(self.captures, {}))], seed=0)
        clustering = cluster_blocks(similarity.block_inputs, num_clusters_for(similarity.rls), "spectral")
        return make_plan(
            Grounds(similarity=similarity.block_inputs, clustering=clustering),
            2,
            PruningSpec(method="lorp", stack=self.case.stack),
        )

    @cached_property
    def removals(self) -> tuple[tuple[int, ...], ...]:
        return tuple(dict.fromkeys((self.plan.removed, *REMOVALS)))

    def variant(self, removed: tuple[int, ...]) -> Path:
        folder = self.folder / "-".join(map(str, removed))
        if not folder.exists():
            cut(self.checkpoint, removed, folder)
        return folder

    def skipped(self, removed: tuple[int, ...]) -> torch.Tensor:
        """Logits of the dense model with those blocks skipped."""
        blocks: Any = self.dense.get_submodule(self.case.data.blocks_path)
        for block in removed:
            blocks[block].forward = self._passing(blocks[block].forward)
        try:
            return logits(self.dense)
        finally:
            for block in removed:
                del blocks[block].forward

    def _passing(self, own: Callable[..., Any]) -> Callable[..., Any]:
        """A block that does nothing, but hands on what its own hands on."""
        family = self.case.data

        def forward(hidden_states: torch.Tensor, *more: Any, **named: Any) -> Any:
            handed_on = own(hidden_states, *more, **named)[1:] if family.hands_on else ()
            return given_by(family, hidden_states, handed_on)

        return forward


def cut(checkpoint: Checkpoint, removed: tuple[int, ...], folder: Path) -> Path:
    folder.mkdir()
    steps = [Removal(block=block, cluster=None, score=0.0) for block in removed]
    plan = replace(plan_of("by hand", checkpoint.num_blocks, steps), stack=checkpoint.family.stack)
    prune(checkpoint, plan, folder)
    return folder


def load(folder: Path) -> PreTrainedModel:
    family = family_of(read_json(folder / "config.json"))
    model_class = getattr(transformers, family.model_class)
    model, loading = model_class.from_pretrained(folder, output_loading_info=True)
    faults = {kind: sorted(map(str, names)) for kind, names in loading.items() if names}
    assert not faults
    return model.eval()


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model(**feed_of([window_for(model)], model).inputs).logits


def window_for(model: PreTrainedModel) -> Window:
    """A text and what the model makes it from."""
    return HEARD if hears(model) else WINDOW
