"""Every family: planned, cut, loaded and run by stock transformers like the dense model with the blocks skipped.

What is measured here is the table in docs/families.md: a run compares the two, and one with LORP_WRITE_DOCS=1 rewrites
it (`LORP_WRITE_DOCS=1 pytest tests/lorp/test_families.py`).
"""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import CASES, LOOKING, Case
from family_row import INPUT, Row, load, logits_by_blocks
from pico import NUM_BLOCKS
from safetensors.torch import load_file
from transformers import GenerationMixin, PreTrainedConfig

from lorp.architectures import FAMILIES, Family
from lorp.architectures.refused import REFUSED
from lorp.body import Body
from lorp.checkpoint import open_checkpoint
from lorp.corpus import Window
from lorp.corpus.uses import FitWindows, HealingWindows, RidgeWindows
from lorp.evaluation.decoding import text_prompt
from lorp.evaluation.downstream.answer import answer_questions
from lorp.evaluation.downstream.questions import Question
from lorp.evaluation.generation import continue_prompts
from lorp.evaluation.perplexity import window_losses
from lorp.evaluation.speed import measure_memory
from lorp.feeding import feed_of, hears, prompt_of
from lorp.finite import check_finite
from lorp.healing import repair
from lorp.healing.patch import open_weights, write_weights
from lorp.models import load_tokenizer
from lorp.plan import Stack
from lorp.spec import GenerationSpec
from lorp.surgery import prune

TABLE = Path(__file__).parents[2] / "docs" / "families.md"
WRITE = "LORP_WRITE_DOCS"

NEW_TOKENS = 32

ALL = (*CASES, *LOOKING)


def planned(row: Row) -> None:
    """A real capture is clustered and planned from, and each block does something whose state is used."""
    assert len(row.plan.removed) == 2
    assert set(row.plan.removed) <= set(range(1, NUM_BLOCKS - 1))
    for block in range(NUM_BLOCKS):
        assert torch.equal(row.skipped((block,)), row.logits(row.dense)) == (block in unused(row))


def unused(row: Row) -> range:
    """Blocks that come after every state which is used."""
    deepest = [
        max(state if state >= 0 else NUM_BLOCKS + 1 + state for state in (said if isinstance(said, list) else [said]))
        for field, default in row.case.data.state_fields
        for said in [row.checkpoint.config.get(field, default)]
    ]
    return range(max(deepest, default=NUM_BLOCKS), NUM_BLOCKS)


def boundaries_captured(row: Row) -> None:
    """The N + 1 boundaries are transformers' hidden states, the last one before what follows the blocks."""
    for capture in row.captures[:2]:
        states = (vision_states if row.sees else hidden_states)(row, capture.window)
        norms = states.norm(dim=-1)
        unit = states / norms[..., None]
        expected = torch.einsum("itd,jtd->ij", unit, unit).numpy()
        assert len(states) == NUM_BLOCKS + 1
        np.testing.assert_allclose(capture.cosine_sums_LL, expected, rtol=0, atol=32 * 1e-4)
        np.testing.assert_allclose(capture.norms_KL, norms[:, capture.positions_K].T, rtol=1e-5)
        np.testing.assert_allclose(capture.units_KLD, unit[:, capture.positions_K].transpose(0, 1), atol=1e-3)


def hidden_states(row: Row, window: Window) -> torch.Tensor:
    """As transformers gives them, L x T x D."""
    last: list[torch.Tensor] = []
    after = row.dense.get_submodule(row.case.after_blocks)
    hook = after.register_forward_pre_hook(lambda _, args: last.extend(args[:1] if row.case.after_blocks else ()))
    with torch.inference_mode():
        output = row.dense(**feed_of([window], row.dense).inputs, output_hidden_states=True)
    hook.remove()
    seen = output[f"{row.case.stack}_hidden_states" if row.case.stack else "hidden_states"]
    return torch.stack([*seen[:-1], last.pop() if last else seen[-1]])[:, 0].double()


def vision_states(row: Row, window: Window) -> torch.Tensor:
    """What the blocks are given and what the last one gives, L x T x D."""
    feed, blocks = feed_of([window], row.dense), list(row.dense.get_submodule(row.case.data.blocks_path).children())
    states: list[torch.Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, args: states.append(args[0])) for block in blocks]
    hooks.append(blocks[-1].register_forward_hook(lambda _module, _args, given: states.append(given)))
    with torch.inference_mode():
        row.dense(**feed.inputs)
    for hook in hooks:
        hook.remove()
    return torch.stack([state.reshape(-1, state.shape[-1]) for state in states]).double()


def pruned(row: Row) -> None:
    """The variant opens as a sound checkpoint of that depth; its tensors are named as in the source."""
    for removed in row.removals:
        variant = open_checkpoint(row.variant(removed), row.case.stack)
        check_finite(variant)
        assert variant.num_blocks == NUM_BLOCKS - len(removed)
        assert variant.ignored == ()
        kept = [block for block in range(NUM_BLOCKS) if block not in removed]
        assert {named_in_source(row.case.data, name, kept) for name in variant.tensors} <= set(row.checkpoint.tensors)


def named_in_source(family: Family, name: str, kept: list[int]) -> str:
    block = family.block_of(name)
    return name if block is None else family.renumbered(name, kept[block])


def loads(row: Row) -> None:
    """Plain transformers finds every key, and no other."""
    for removed in row.removals:
        load(row.variant(removed))


def logits_equal(row: Row) -> None:
    """Bit for bit in float32, those of the dense model with the blocks skipped."""
    for removed in row.removals:
        assert torch.equal(row.logits(load(row.variant(removed))), row.skipped(removed)), removed


def generates(row: Row) -> None:
    """The same 32 greedy tokens with and without a cache."""
    for removed in (row.plan.removed, (2, 5)):
        model = load(row.variant(removed))
        wanted = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
        made = [generated(model, row.prompt, **wanted, use_cache=use_cache) for use_cache in (True, False)]
        begun = 1 if row.case.data.is_encoder_decoder else row.prompt["input_ids"].shape[1]
        assert made[0].shape == (1, NEW_TOKENS + begun)
        assert torch.equal(*made)


def generated(model: Any, prompt: dict[str, Any], **wanted: Any) -> torch.Tensor:
    """What transformers itself writes after a prompt, whose beginning it repeats."""
    made: torch.Tensor = GenerationMixin.generate(model, **prompt, **wanted)
    return made


def reloads(row: Row) -> None:
    """Saved by transformers and loaded again, it has the same config, tensors and logits."""
    for removed in (row.plan.removed, (0, 1), (2, 5)):
        model, folder = load(row.variant(removed)), row.folder / f"saved-{'-'.join(map(str, removed))}"
        model.save_pretrained(folder)
        for prepares in row.source.glob("preprocessor_config.json"):
            shutil.copy(prepares, folder)
        again = load(folder)
        assert comparable(again.config) == comparable(model.config)
        ours, theirs = (open_checkpoint(each, row.case.stack) for each in (row.variant(removed), folder))
        assert ours.block_settings == theirs.block_settings
        mine, theirs = model.state_dict(), again.state_dict()
        assert set(mine) == set(theirs)
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
        assert torch.equal(row.logits(again), row.logits(model))


def evaluated(row: Row) -> None:
    """Losses are finite, greedy tokens are transformers' own, answering changes no weight, memory shrinks."""
    model = load(row.variant((2, 5)))
    prompt = tuple(INPUT[0, :12].tolist())
    source = prompt if row.case.data.is_encoder_decoder and not hears(model) else ()
    text = replace(row.window, tokens=prompt, source=source, num_given=0)
    windows = [row.window] if row.sees else [replace(text, id=str(number)) for number in range(3)]
    spec = GenerationSpec(prompt_tokens=12, max_new_tokens=NEW_TOKENS)
    wanted = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    made = generated(model, {**row.prompt, "suppress_tokens": None}, **wanted)
    for written in continue_prompts(model, windows, str, spec):
        assert written.tokens == tuple(made[0, -NEW_TOKENS:].tolist())
    assert all(item.loss is not None for item in window_losses(model, windows))
    asked = prompt_of(windows[:1], model, 12) if hears(model) else text_prompt(model, [prompt])
    dense, variant = (measure_memory(each, asked) for each in (row.dense, model))
    assert (variant.weights < dense.weights, variant.peak < dense.peak) == (True, True)
    assert variant.kv_token > 0
    assert (variant.kv_token < dense.kv_token) == (row.case.stack in (None, "decoder"))
    if row.case.stack:
        return
    before = row.logits(model)
    question = Question(
        task="t", item="1", cluster="1", metric="acc", label=0, contexts=("ab", "ab"), continuations=(" c", " d"),
        lengths=(1, 1),
    )  # fmt: skip
    model.config.get_text_config().bos_token_id = 0
    assert answer_questions(model, load_tokenizer(row.source), [question])[0].valid
    assert torch.equal(row.logits(model), before)


def healed(row: Row) -> None:
    """Its blocks run one by one as they do together, and refitted weights leave states closer to the dense model's."""
    if not several_states(row):
        feed = feed_of([row.window], row.dense)
        [said] = logits_by_blocks(Body(row.dense, row.case.data), [feed])
        assert torch.equal(said, row.logits(row.dense))
    uses = HealingWindows(fit=FitWindows(tuple(row.windows[:6])), ridge=RidgeWindows(tuple(row.windows[:6])))
    done = repair(row.dense, row.checkpoint, row.plan, uses, "refit")
    writes = {entry.block for entry in done.repairs if entry.site.endswith("write")}
    expected = row.case.data.projections.writes_freely(row.checkpoint.settings)
    assert bool(writes) == expected
    assert all(entry.error < 1 for entry in done.repairs)
    patch, variant = row.folder / "patch.safetensors", row.folder / "healed"
    write_weights(done.tensors, patch)
    variant.mkdir()
    prune(row.checkpoint, row.plan, variant, open_weights(patch))
    check_finite(open_checkpoint(variant, row.case.stack))
    stored = load_file(variant / "model.safetensors")
    index = {block: number for number, block in enumerate(row.plan.kept)}
    for name, tensor in done.tensors.items():
        block = row.case.data.block_of(name)
        assert block is not None
        assert torch.equal(stored[row.case.data.renumbered(name, index[block])], tensor)
    assert not torch.equal(row.logits(load(variant)), row.logits(load(row.variant(row.plan.removed))))


def several_states(row: Row) -> bool:
    """Whether what the model says follows from several states of the stack, and not from one."""
    return any(isinstance(row.checkpoint.config.get(field), list) for field, _ in row.case.data.state_fields)


def comparable(config: PreTrainedConfig) -> dict[str, Any]:
    return {name: value for name, value in config.to_dict().items() if name != "_name_or_path"}


CHECKS: dict[str, Callable[[Row], None]] = {
    "planned": planned,
    "boundaries": boundaries_captured,
    "pruned": pruned,
    "loads": loads,
    "logits equal": logits_equal,
    "generates": generates,
    "reloads": reloads,
    "evaluated": evaluated,
    "healed": healed,
}

Measure = Callable[[Case, str], Exception | None]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Row]:
    return cache(lambda case: Row(case, tmp_path_factory.mktemp("family")))


@pytest.fixture(scope="module")
def measure(rows: Callable[[Case], Row]) -> Measure:
    """What a check of a case ended with; each is run once."""

    @cache
    def run(case: Case, check: str) -> Exception | None:
        try:
            CHECKS[check](rows(case))
        except (Exception, AssertionError) as fault:  # whatever it is, it belongs to that cell of the table
            return fault
        return None

    return run


@pytest.mark.parametrize(
    ("case", "check"), [pytest.param(case, check, id=f"{case}-{check}") for case in ALL for check in CHECKS]
)
def test_a_family_passes(measure: Measure, case: Case, check: str) -> None:
    if fault := measure(case, check):
        raise fault


def test_every_family_has_a_case() -> None:
    mine = {(case.family, case.stack) for case in ALL}
    assert mine == {(family.name, family.stack) for family in FAMILIES}


def test_the_table_says_what_was_measured(measure: Measure) -> None:
    text = TABLE.read_text()
    parts = {"families": families_table(), "refused": refused_table(), "checks": checks_table(measure)}
    for name, table in parts.items():
        begin, end = f"<!-- {name}: made by the test run -->\n", f"<!-- end of {name} -->"
        text = re.sub(f"{begin}.*?{end}", lambda _, made=f"{begin}{table}{end}": made, text, flags=re.DOTALL)
    if os.environ.get(WRITE):
        TABLE.write_text(text)
    assert TABLE.read_text() == text, f"write it anew with {WRITE}=1 pytest {Path(__file__).name}"


def families_table() -> str:
    def names(values: tuple[str, ...] | frozenset[str]) -> str:
        return ", ".join(f"`{value}`" for value in sorted(values)) or "-"

    rows = [
        (
            titled(family.name, family.stack),
            names(family.model_types),
            f"`{family.blocks_path}`",
            names(family.count_fields),
            names((*family.block_fields, *(field for field, _ in family.state_fields))),
            names(tuple(obstacle.field for obstacle in family.obstacles)),
        )
        for family in FAMILIES
    ]
    return markdown(("family", "model_type", "blocks", "count", "follow the blocks", "refused where set"), rows)


def refused_table() -> str:
    rows = [
        (refusal.name, ", ".join(f"`{kind}`" for kind in sorted(refusal.model_types)), refusal.reason)
        for refusal in REFUSED
    ]
    return markdown(("family", "model_type", "reason"), rows)


def checks_table(measure: Measure) -> str:
    def passed(case: Case, check: str) -> str:
        return "no" if measure(case, check) else "yes"

    rows = [(titled(case.family, case.stack), case.layout, *(passed(case, check) for check in CHECKS)) for case in ALL]
    return markdown(("family", "checkpoint", *CHECKS), rows)


def titled(family: str, stack: Stack | None) -> str:
    return f"{family}, {stack}" if stack else family


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
