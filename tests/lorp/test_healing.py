"""Healing solves what it says, changes what it may, and leaves the model that it was given as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from families import CASES, Case, make_case
from pico import NUM_BLOCKS, make_pico
from transformers import AutoModelForCausalLM, PreTrainedModel

from lorp.architectures.experts import Place
from lorp.body import Body
from lorp.checkpoint import Checkpoint, open_checkpoint
from lorp.corpus import Window
from lorp.corpus.uses import FitWindows, HealingWindows, RidgeWindows
from lorp.errors import HealingError
from lorp.evaluation.perplexity import window_losses
from lorp.feeding import Feed, feed_of
from lorp.healing import Repaired, heal, repair
from lorp.healing.block import RIDGES
from lorp.healing.normal_equations import no_tokens
from lorp.healing.patch import open_weights, write_weights
from lorp.healing.repair import Healing
from lorp.healing.stored import stored_weights
from lorp.models import load_model
from lorp.plan import PruningPlan, Removal, plan_of
from lorp.spec import ComputeSpec
from lorp.surgery import prune

LENGTH = 48


def random_windows(*seeds: int) -> tuple[Window, ...]:
    return tuple(
        Window(
            id=f"{seed}@0",
            document=f"{seed}",
            text_sha256="",
            tokens=tuple(np.random.default_rng(seed).integers(0, 256, LENGTH).tolist()),
        )
        for seed in seeds
    )


FIT, CHOOSE = FitWindows(random_windows(*range(12))), RidgeWindows(random_windows(*range(50, 54)))
WINDOWS = HealingWindows(fit=FIT, ridge=CHOOSE)
JUDGE = [window.tokens for window in random_windows(*range(90, 94))]


@pytest.fixture(scope="module")
def gentle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Blocks that change the state a little, as those of a trained model do."""
    return make_pico(tmp_path_factory.mktemp("gentle"), initializer_range=0.08)


@pytest.fixture
def model(gentle: Path) -> PreTrainedModel:
    return load_model(gentle, ComputeSpec())


@pytest.fixture(scope="module")
def checkpoint(gentle: Path) -> Checkpoint:
    return open_checkpoint(gentle)


def plan(*blocks: int) -> PruningPlan:
    return plan_of("by hand", NUM_BLOCKS, [Removal(block=block, cluster=None, score=0.0) for block in blocks])


def healed_variant(checkpoint: Checkpoint, blocks: tuple[int, ...], done: Repaired, folder: Path) -> PreTrainedModel:
    write_weights(done.tensors, folder / "patch.safetensors")
    (folder / "variant").mkdir()
    prune(checkpoint, plan(*blocks), folder / "variant", open_weights(folder / "patch.safetensors"))
    return load_model(folder / "variant", ComputeSpec())


def final_states(model: PreTrainedModel) -> torch.Tensor:
    """What leaves the last block."""
    seen: list[torch.Tensor] = []
    hook = model.model.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        model(torch.tensor(JUDGE))
    hook.remove()
    return seen[0]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(((one - other).norm(dim=-1) / other.norm(dim=-1)).square().mean())


def test_normal_equations_solve_weighted_ridge_regression() -> None:
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(200, 7)), random.normal(size=(200, 3))
    weights = random.uniform(0.1, 2, 200)
    sums = no_tokens(7, 3, torch.device("cpu"))
    for rows in (slice(0, 50), slice(50, 200)):
        sums.add(*(torch.tensor(array[rows]) for array in (inputs, targets, weights)))
    a, y = inputs * weights[:, None], targets * weights[:, None]
    penalty = 0.3 * np.mean(np.diag(a.T @ a))
    stacked = np.vstack([a, np.sqrt(penalty) * np.eye(7)])
    expected = np.linalg.lstsq(stacked, np.vstack([y, np.zeros((7, 3))]), rcond=None)[0]
    solved = sums.solve(0.3)
    np.testing.assert_allclose(solved, expected, rtol=1e-9, atol=1e-12)
    left = np.square(a @ expected - y).sum() / np.square(y).sum()
    assert sums.error(solved) == pytest.approx(left, rel=1e-9)
    assert sums.error(torch.zeros(7, 3, dtype=torch.float64)) == 1


def test_equations_over_nothing_but_zeros_have_the_solution_zero() -> None:
    sums = no_tokens(2, 1, torch.device("cpu"))
    sums.add(torch.zeros(4, 2), torch.zeros(4, 1), torch.ones(4))
    assert sums.solve(0.1).tolist() == [[0.0], [0.0]]
    assert sums.error(torch.zeros(2, 1, dtype=torch.float64)) == 1


def test_blocks_run_one_by_one_are_the_model(model: PreTrainedModel, checkpoint: Checkpoint) -> None:
    body, tokens = Body(model, checkpoint.family), torch.tensor([JUDGE[0]])
    feed = Feed(tokens_BT=tokens)
    with torch.inference_mode():
        state = body.embedded(feed)
        for block in range(body.num_blocks):
            state = body.step(block, state, feed)
        assert torch.equal(body.logits(feed, state), model(tokens).logits)


@pytest.mark.parametrize(("method", "blocks"), [("linear", (2,)), ("refit", (2,)), ("refit", (1, 2, 4))])
def test_a_healed_variant_is_closer_to_the_dense_model_on_other_windows(
    model: PreTrainedModel, checkpoint: Checkpoint, tmp_path: Path, method: str, blocks: tuple[int, ...]
) -> None:
    done = repair(model, checkpoint, plan(*blocks), WINDOWS, method)
    none = Repaired(repairs=(), tensors={})
    dense = final_states(model)
    (tmp_path / "unhealed").mkdir()
    unhealed = distance(final_states(healed_variant(checkpoint, blocks, none, tmp_path / "unhealed")), dense)
    assert distance(final_states(healed_variant(checkpoint, blocks, done, tmp_path)), dense) < 0.95 * unhealed


def test_the_first_gap_is_refitted_as_an_independent_solution_says(
    model: PreTrainedModel, checkpoint: Checkpoint
) -> None:
    done = repair(model, checkpoint, plan(3), WINDOWS, "refit")
    [first, *_] = done.repairs
    assert (first.block, first.site) == (2, "mlp_write")
    assert first.ridge in RIDGES
    taken: list[np.ndarray] = []
    down = model.model.layers[2].mlp.down_proj
    hook = down.register_forward_pre_hook(lambda _, args: taken.append(args[0][0].double().numpy()))
    tokens = torch.tensor([window.tokens for window in FIT.windows])
    states = []
    with torch.inference_mode():
        for row in tokens:
            states.append(
                [state[0].double().numpy() for state in model(row[None], output_hidden_states=True).hidden_states]
            )
    hook.remove()
    inputs = np.concatenate(taken)
    wanted, have = (np.concatenate([state[boundary] for state in states]) for boundary in (4, 3))
    weights = 1 / np.linalg.norm(wanted, axis=1, keepdims=True)
    a, y = inputs * weights, (wanted - have) * weights
    penalty = first.ridge * np.mean(np.diag(a.T @ a))
    change = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ y)
    expected = down.weight.double().numpy() + change.T
    np.testing.assert_allclose(done.tensors["model.layers.2.mlp.down_proj.weight"], expected, rtol=0, atol=1e-5)


def test_only_maps_from_the_first_gap_on_change(model: PreTrainedModel, checkpoint: Checkpoint) -> None:
    refit = repair(model, checkpoint, plan(2, 4), WINDOWS, "refit")
    assert {checkpoint.family.block_of(name) for name in refit.tensors} <= {1, 3, 5}
    assert [entry.site for entry in refit.repairs if entry.block == 1] == ["mlp_write"]
    assert [entry.site for entry in refit.repairs if entry.block == 3] == [
        "attention_read", "attention_write", "mlp_read", "mlp_write",
    ]  # fmt: skip
    linear = repair(model, checkpoint, plan(2, 4), WINDOWS, "linear")
    assert set(linear.tensors) <= {f"model.layers.{block}.mlp.down_proj.weight" for block in (1, 3)}
    assert [(entry.block, entry.site) for entry in linear.repairs] == [(1, "mlp_write"), (3, "mlp_write")]
    assert all(0 < entry.error <= 1 for entry in (*refit.repairs, *linear.repairs))


def test_the_model_is_as_before_and_the_same_again_gives_the_same_bytes(
    model: PreTrainedModel, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = repair(model, checkpoint, plan(1, 4), WINDOWS, "refit")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    again = repair(model, checkpoint, plan(1, 4), WINDOWS, "refit")
    for name, done in (("first", first), ("again", again)):
        write_weights(done.tensors, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()
    assert first.repairs == again.repairs


def test_states_that_are_not_finite_are_refused(gentle: Path, checkpoint: Checkpoint) -> None:
    model = load_model(gentle, ComputeSpec())
    model.model.layers[3].mlp.up_proj.weight.data.fill_(float("inf"))
    with pytest.raises(HealingError, match="hidden states of block 2 are not finite"):
        repair(model, checkpoint, plan(3), WINDOWS, "refit")


def test_new_weights_are_rounded_as_stored_and_refused_where_they_do_not_fit(
    model: PreTrainedModel, gentle: Path, tmp_path: Path
) -> None:
    AutoModelForCausalLM.from_pretrained(gentle, dtype=torch.float16).save_pretrained(tmp_path / "half")
    block, place = model.model.layers[2], Place(name="mlp.down_proj.weight")
    down = block.mlp.down_proj.weight
    with stored_weights(open_checkpoint(tmp_path / "half")) as weights:
        weights.put(2, place, block, torch.full_like(down, 0.1, dtype=torch.float64))
        assert weights.changed["model.layers.2.mlp.down_proj.weight"].dtype == torch.float16
        assert down[0, 0] == float(torch.tensor(0.1, dtype=torch.float16))
        with pytest.raises(HealingError, match=r"too large for torch\.float16"):
            weights.put(2, place, block, torch.full_like(down, 1e5))


def test_the_model_is_as_before_also_when_healing_fails(model: PreTrainedModel, checkpoint: Checkpoint) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrong = replace(CHOOSE.windows[0], tokens=(999,))
    with pytest.raises(IndexError):
        repair(model, checkpoint, plan(1), HealingWindows(fit=FIT, ridge=RidgeWindows((wrong,))), "refit")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(hasattr(block, "forward") and "forward" in vars(block) for block in model.model.layers)


def test_magnitude_is_the_papers_scaling_of_all_that_comes_before_the_gap(tmp_path: Path) -> None:
    """Prune&Comp scales embeddings and earlier writes up; later writes scaled down say the same, whatever is tied."""
    untied = make_pico(tmp_path / "untied", initializer_range=0.2, tie_word_embeddings=False, rms_norm_eps=1e-12)
    done = repair(load_model(untied, ComputeSpec()), open_checkpoint(untied), plan(2, 4), WINDOWS, "magnitude")
    assert {(entry.block, entry.site) for entry in done.repairs} == {(3, "writes"), (5, "writes")}
    ours = healed_variant(open_checkpoint(untied), (2, 4), done, tmp_path)
    theirs = load_model(untied, ComputeSpec())
    tokens = torch.tensor([window.tokens for window in (*FIT.windows, *CHOOSE.windows)])
    with torch.inference_mode():
        states = theirs(tokens, output_hidden_states=True).hidden_states
    layers = theirs.model.layers
    for gone in (2, 4):
        before, after = (states[boundary].double().norm(dim=-1).log().mean() for boundary in (gone, gone + 1))
        factor = float((after - before).exp())
        assert abs(factor - 1) > 0.01
        theirs.model.embed_tokens.weight.data *= factor
        for block in range(gone):
            layers[block].self_attn.o_proj.weight.data *= factor
            layers[block].mlp.down_proj.weight.data *= factor
    for gone in (2, 4):
        layers[gone].forward = lambda state, *_, **__: state
    with torch.inference_mode():
        torch.testing.assert_close(
            ours(torch.tensor(JUDGE)).logits, theirs(torch.tensor(JUDGE)).logits, rtol=0, atol=1e-4
        )


def test_the_healing_that_costs_least_is_chosen_on_windows_that_nothing_was_fitted_on(
    model: PreTrainedModel, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    choice = heal(model, checkpoint, plan(1, 3), WINDOWS, "auto")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    losses = {attempt.method: attempt.loss for attempt in choice.attempts}
    assert list(losses) == ["none", "linear", "refit", "magnitude"]
    assert choice.method == min(losses, key=losses.__getitem__)
    variant = healed_variant(checkpoint, (1, 3), choice.repaired, tmp_path)
    said = [item.loss for item in window_losses(variant, CHOOSE.windows)]
    assert losses[choice.method] == pytest.approx(sum(said) / len(said), abs=1e-5)


def test_where_no_healing_helps_none_is_done(
    model: PreTrainedModel, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(*_: object) -> Repaired:
        down = model.model.layers[0].mlp.down_proj.weight
        return Repaired(repairs=(), tensors={"model.layers.0.mlp.down_proj.weight": torch.full_like(down, torch.nan)})

    monkeypatch.setattr("lorp.healing.choice.repair_from", worse)
    choice = heal(model, checkpoint, plan(1), WINDOWS, "auto")
    assert (choice.method, choice.repaired.tensors) == ("none", {})
    assert [attempt.loss is None for attempt in choice.attempts] == [False, True, True, True]


def test_what_blocks_do_not_allow_is_refused_with_the_reason_and_auto_says_so(tmp_path: Path) -> None:
    [case] = [case for case in CASES if str(case) == "OLMo 2: own head"]
    folder = make_case(case, tmp_path / "olmo")
    checkpoint, model = open_checkpoint(folder), load_model(folder, ComputeSpec())
    windows = HealingWindows(fit=FitWindows(small(FIT.windows)), ridge=RidgeWindows(small(CHOOSE.windows)))
    with pytest.raises(HealingError, match="magnitude healing cannot be folded into OLMo 2: a norm follows"):
        repair(model, checkpoint, plan(2), windows, "magnitude")
    attempts = {entry.method: entry for entry in heal(model, checkpoint, plan(2), windows, "auto").attempts}
    assert [name for name, entry in attempts.items() if entry.refused] == ["linear", "magnitude"]
    assert attempts["refit"].loss is not None


def free_cases() -> list[Case]:
    """The first of each family to whose state blocks add what they write as it is, or scaled."""
    firsts = {case.family: case for case in reversed(CASES) if case.stack is None}
    return [case for case in firsts.values() if case.data.projections.writes_freely(case.settings)]


@pytest.mark.parametrize("method", ["linear", "refit"])
@pytest.mark.parametrize("case", free_cases(), ids=str)
def test_what_is_said_to_be_left_of_the_error_is_left(tmp_path: Path, case: Case, method: Healing) -> None:
    source = make_case(case, tmp_path / "dense")
    dense, checkpoint = load_model(source, ComputeSpec()), open_checkpoint(source)
    done = repair(dense, checkpoint, plan(2), WINDOWS, method)
    said = {(entry.block, entry.site): entry.error for entry in done.repairs}
    variant = healed_variant(checkpoint, (2,), done, tmp_path)
    bodies = Body(dense, case.data), Body(variant, case.data)
    feed = feed_of(CHOOSE.windows, dense)
    with torch.inference_mode():
        states, mended = (states_of(body, feed) for body in bodies)
        assert said[1, "mlp_write"] == pytest.approx(left_of_error(states[3], states[2], mended[2]), rel=1e-3)
        assert said[1, "mlp_write"] < 1
        if (3, "attention_write") not in said:
            return
        path, scale = case.data.projections.attention_write, case.data.projections.scale(checkpoint.config)
        taken, given = passed(bodies[1], 2, path, mended[2], feed)
        _, wanted = passed(bodies[0], 3, path, states[3], feed)
        before = dense.get_submodule(f"{case.data.blocks_path}.3.{path}")(taken)
        written = [mended[2] + scale * part for part in (before, given)]
        left = left_of_error(states[3] + scale * wanted, *written)
    assert said[3, "attention_write"] == pytest.approx(left, rel=1e-3)


def states_of(body: Body, feed: Feed) -> list[torch.Tensor]:
    """At all boundaries."""
    states = [body.embedded(feed)]
    for block in range(body.num_blocks):
        states.append(body.step(block, states[-1], feed))
    return states


def passed(body: Body, block: int, path: str, state: torch.Tensor, feed: Feed) -> tuple[torch.Tensor, torch.Tensor]:
    """What a map takes and gives."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = (
        body.blocks[block]
        .get_submodule(path)
        .register_forward_hook(lambda _, taken, given: seen.append((taken[0], given)))
    )
    body.step(block, state, feed)
    hook.remove()
    return seen[0]


def left_of_error(wanted: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> float:
    weight = 1 / wanted.norm(dim=-1).square()
    return float(((wanted - after).norm(dim=-1).square() * weight).sum()) / float(
        ((wanted - before).norm(dim=-1).square() * weight).sum()
    )


def small(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """The same with tokens of a smaller vocabulary."""
    return tuple(replace(window, tokens=tuple(token % 60 for token in window.tokens)) for window in windows)
