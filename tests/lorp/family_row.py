"""A family's checkpoint and what is made of it."""

import base64
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from families import Case, make_case
from images import SPECIAL_TOKENS, png, save_image_settings
from sounds import noise, sound, wav
from transformers import PreTrainedModel

from lorp.architectures import family_of
from lorp.body import Body, given_by
from lorp.capture import WindowCapture, capture_windows
from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.clustering import cluster_blocks, num_clusters_for
from lorp.config_file import read_json
from lorp.corpus import Window
from lorp.corpus.media import Medium
from lorp.feeding import Feed, feed_of, hears, prompt_of
from lorp.media import frame_of
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
        folder = make_case(self.case, self.folder / "dense")
        if self.sees:
            save_image_settings(self.case, folder)
        return folder

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.source, self.case.stack)

    @cached_property
    def dense(self) -> PreTrainedModel:
        return load_model(self.source, ComputeSpec())

    @cached_property
    def sees(self) -> bool:
        """Whether its stack is one that makes features of an image, so that an image must be given."""
        return self.case.stack == "vision"

    @cached_property
    def windows(self) -> list[Window]:
        """Text, of an encoder-decoder with a source, or sounds or images with their texts."""
        tokenizer = load_tokenizer(self.source)
        tokens = tokenizer(inspect.getdoc(np.ndarray) or "", add_special_tokens=False)["input_ids"]
        texts = {start: tuple(tokens[start:][:32]) for start in range(0, 288, 32)}
        made = [
            Window(id=f"{start}@0", document=str(start), text_sha256="0" * 64, tokens=texts[start])
            for start in range(0, 256, 32)
        ]
        if hears(self.dense):
            return [replace(window, medium=sound(wav(noise(seed)))) for seed, window in enumerate(made)]
        if self.case.data.is_encoder_decoder:
            return [replace(window, source=texts[start + 32]) for start, window in zip(texts, made, strict=False)]
        return [self.with_image(window, seed) for seed, window in enumerate(made)] if self.sees else made

    def with_image(self, window: Window, seed: int) -> Window:
        """The window's text, made from an image."""
        given = frame_of(self.source, "image", None).image
        image = Medium(kind="image", base64=base64.b64encode(png(seed)).decode())
        return replace(window, tokens=(*given, *window.tokens), medium=image, num_given=len(given))

    @cached_property
    def window(self) -> Window:
        """The one that is looked at most closely."""
        return self.with_image(WINDOW, 99) if self.sees else window_for(self.dense)

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """What models are given for it."""
        return dict(feed_of([self.window], self.dense).inputs)

    @cached_property
    def prompt(self) -> dict[str, Any]:
        """What models go on from, and that they make no image of their own."""
        if self.sees:
            return {**prompt_of([self.window], self.dense, 0).inputs, "suppress_tokens": SPECIAL_TOKENS}
        if hears(self.dense):
            return feed_of([self.window], self.dense).read
        return {"input_ids": INPUT[:, :12], "attention_mask": torch.ones_like(INPUT[:, :12])}

    def logits(self, model: PreTrainedModel) -> torch.Tensor:
        """What a model makes of the inputs."""
        with torch.inference_mode():
            made: torch.Tensor = model(**self.inputs).logits
        return made

    @cached_property
    def captures(self) -> list[WindowCapture]:
        return capture_windows(self.dense, self.checkpoint.family, self.windows, sampled_tokens=4, seed=0)

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
            return self.logits(self.dense)
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


def logits_by_blocks(body: Body, feeds: Sequence[Feed]) -> list[torch.Tensor]:
    """What a model says in each pass, where its blocks are run one by one."""
    with torch.inference_mode():
        states = [body.embedded(feed) for feed in feeds]
        for block in range(body.num_used):
            states = body.step_all(block, states, feeds)
        return [body.logits(feed, state) for feed, state in zip(feeds, states, strict=True)]


def window_for(model: PreTrainedModel) -> Window:
    """A text and what the model makes it from."""
    return HEARD if hears(model) else WINDOW
