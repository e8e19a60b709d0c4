"""Images and their texts: what a model that sees is given for them, and its image and text tokens told apart."""

import base64
import io
import struct
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from families import CASES, LOOKING, Case, make_case
from family_row import logits_by_blocks
from images import png, save_image_settings
from pico import NUM_BLOCKS, edit_json
from PIL import Image
from transformers import PreTrainedModel

from lorp.body import Body
from lorp.capture import WindowCapture, capture_windows
from lorp.capture_check import capture_fault
from lorp.capture_streamed import capture_streamed
from lorp.checkpoint import open_checkpoint
from lorp.corpus import Window
from lorp.corpus.media import Medium
from lorp.corpus.uses import FitWindows, HealingWindows, MendWindows, RidgeWindows, ScoreWindows
from lorp.errors import CorpusError, SourceError, SpecError
from lorp.evaluation.decoding import greedy_tokens
from lorp.evaluation.perplexity import window_losses
from lorp.feeding import feed_of, passes_of, prompt_of
from lorp.healing import repair
from lorp.healing.block import ClosedForm
from lorp.media import check_media, frame_of, prepared
from lorp.models import load_model, stream_model
from lorp.parquet import decode_states, decode_windows, encode_states, encode_windows
from lorp.plan import PruningPlan, Removal, plan_of
from lorp.search.trials import ModelTrials
from lorp.similarity import similarity_of
from lorp.spec import ComputeSpec
from lorp.surgery import prune

SEEING = [case for case in CASES if case.data.section and case.stack is None]
BY_NAME = {str(case): case for case in SEEING}
PUBLISHED = BY_NAME["LLaVA around Llama: own head, as published"]
TILED = BY_NAME["LLaVA-NeXT around Llama: own head, as published"]
#: How many tokens each family's image has, as its processor in transformers counts them.
IMAGE_TOKENS = {"LLaVA": 4, "LLaVA-NeXT": 14, "Qwen2-VL": 2, "Qwen2.5-VL": 2, "Gemma": 4}
TEXT = tuple(range(30, 60))


def medium(seed: int = 0) -> Medium:
    """An image, every other one upright: of as many tokens, but in other places."""
    sides = (8, 16) if seed % 2 else (16, 8)
    return Medium(kind="image", base64=base64.b64encode(png(seed, *sides)).decode())


def saved(image: Image.Image, kind: str = "PNG", **more: Any) -> bytes:
    """An image as a file holds it."""
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


#: Transparent places of a palette that is not there.
SPOILT_PALETTE = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)),
        chunk(b"tRNS", b"\0"),
        chunk(b"IDAT", zlib.compress(bytes(9 * 8))),
        chunk(b"IEND", b""),
    ]
)


class Seeing:
    """A case's model, and windows of it."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.folder = make_case(case, folder)
        save_image_settings(case, self.folder)
        self.checkpoint = open_checkpoint(self.folder, case.stack)
        self.family = self.checkpoint.family
        self.model = load_model(self.folder, ComputeSpec())
        self.given = (0, *frame_of(self.folder, "image", 0).image)

    def window(self, seed: int = 0) -> Window:
        return Window(
            id=f"{seed}@0", document=str(seed), text_sha256="", tokens=(*self.given, *TEXT), medium=medium(seed),
            num_given=len(self.given),
        )  # fmt: skip

    @property
    def windows(self) -> list[Window]:
        return [self.window(seed) for seed in range(3)]


@pytest.fixture
def seeing(request: pytest.FixtureRequest, tmp_path: Path) -> Seeing:
    return Seeing(getattr(request, "param", PUBLISHED), tmp_path / "model")


SEVERAL = [case for case in LOOKING if isinstance(case.settings.get("vision_feature_layer"), list)]
TOWERS = [case for case in LOOKING if case not in SEVERAL]
STATE_4 = next(case for case in TOWERS if case.settings.get("vision_feature_layer") == 4)
#: Of at least as many states as the text stack makes of an image with a beginning.
CROWDED = [case for case in TOWERS if "SigLIP" not in str(case)]
every_tower = pytest.mark.parametrize("seeing", TOWERS, ids=str, indirect=True)
every = pytest.mark.parametrize("seeing", SEEING, ids=str, indirect=True)


def direct(model: Any, inputs: dict[str, torch.Tensor], **more: Any) -> Any:
    with torch.inference_mode():
        return model(**inputs, use_cache=False, **more)


@every
def test_an_image_becomes_the_tokens_that_the_model_makes_of_it(seeing: Seeing, request: Any) -> None:
    feed, other = (feed_of([seeing.window(seed)], seeing.model) for seed in (0, 1))
    assert feed.image_BT is not None
    [name] = {name for name in IMAGE_TOKENS if seeing.family.name.split(" ")[0] == name}
    assert int(feed.image_BT.sum()) == IMAGE_TOKENS[name]
    assert feed.num_given == len(seeing.given) - 1 + IMAGE_TOKENS[name]
    assert feed.tokens_BT[0, feed.num_given :].tolist() == list(TEXT)
    logits = direct(seeing.model, feed.inputs).logits
    assert not torch.equal(logits, direct(seeing.model, other.inputs).logits)
    [(said_TV, ids_T)] = feed.said_of(logits)
    assert ids_T.tolist() == list(TEXT)
    assert torch.equal(said_TV, logits[0, -len(TEXT) - 1 : -1])


@pytest.mark.parametrize("seeing", [*SEEING, *TOWERS], ids=str, indirect=True)
def test_blocks_run_one_by_one_say_what_the_model_says(seeing: Seeing) -> None:
    feeds = [feed_of([window], seeing.model) for window in seeing.windows]
    for feed, said in zip(feeds, logits_by_blocks(Body(seeing.model, seeing.family), feeds), strict=True):
        assert torch.equal(said, direct(seeing.model, feed.inputs).logits)


@every
def test_what_is_written_of_an_image_is_what_transformers_writes(seeing: Seeing) -> None:
    model: Any = seeing.model
    prompted = prompt_of([seeing.window()], model, 8)
    with torch.inference_mode():
        tokens = greedy_tokens(model, prompted)
        written = [int(next(tokens)) for _ in range(12)]
        made = model.generate(**prompted.inputs, max_new_tokens=12, min_new_tokens=12, do_sample=False)
    assert prompted.tokens_BT.shape[1] == prompted.num_given
    assert written == made[0, -12:].tolist()


@every
def test_image_and_text_tokens_are_summed_up_apart(seeing: Seeing, tmp_path: Path) -> None:
    captures = capture_windows(seeing.model, seeing.family, seeing.windows, sampled_tokens=4, seed=0)
    for capture in captures:
        feed = feed_of([capture.window], seeing.model)
        assert feed.image_BT is not None
        states_LTD = boundaries(seeing.model, seeing, feed.inputs)
        units = states_LTD / states_LTD.norm(dim=-1, keepdim=True)
        image_T = feed.image_BT[0]
        for mask_T, sums in ((image_T, capture.image_sums_LL), (torch.ones_like(image_T), capture.cosine_sums_LL)):
            expected = torch.einsum("atd,btd->ab", units[:, mask_T], units[:, mask_T])
            np.testing.assert_allclose(sums, expected, atol=2e-2)
        assert capture.num_image_tokens == int(image_T.sum())
    streamed = stream_model(seeing.folder, ComputeSpec(capture_mode="streamed"))
    again = capture_streamed(streamed, seeing.family, seeing.windows, 4, 0, tmp_path)
    for one, other in zip(captures, again, strict=True):
        assert one.num_image_tokens == other.num_image_tokens
        assert one.image_sums_LL is not None
        np.testing.assert_allclose(one.image_sums_LL, other.image_sums_LL, atol=1e-4)


def boundaries(model: PreTrainedModel, seeing: Seeing, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """States at all boundaries, by hooks of this test's own."""
    blocks: Any = model.get_submodule(seeing.family.blocks_path)
    states: list[torch.Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, args: states.append(args[0][0].double())) for block in blocks]
    hooks.append(
        blocks[-1].register_forward_hook(
            lambda _module, _args, given: states.append((given[0] if isinstance(given, tuple) else given)[0].double())
        )
    )
    direct(model, inputs)
    for hook in hooks:
        hook.remove()
    return torch.stack([state.reshape(-1, state.shape[-1]) for state in states])


def captured(seeing: Seeing) -> list[WindowCapture]:
    return capture_windows(seeing.model, seeing.family, seeing.windows, sampled_tokens=4, seed=0)


def test_kinds_are_scored_apart_and_survive_a_table(seeing: Seeing) -> None:
    captures = captured(seeing)
    sums = decode_windows(encode_windows(captures, {}))
    similarity = similarity_of([sums, sums], seed=0)
    image, text = similarity.kinds
    assert (image.kind, text.kind) == ("image", "text")
    assert image.num_tokens + text.num_tokens == similarity.num_tokens
    shares = np.array([image.num_tokens, text.num_tokens]) / similarity.num_tokens
    mixed = shares[0] * np.array(image.boundaries) + shares[1] * np.array(text.boundaries)
    np.testing.assert_allclose(mixed, similarity.boundaries, atol=1e-9)
    assert not np.allclose(image.boundaries, text.boundaries, atol=1e-2)
    assert sums.at([1]).num_image_tokens is not None


def test_image_and_text_tokens_that_do_not_add_up_are_found(seeing: Seeing) -> None:
    captures = captured(seeing)
    sums, states = decode_windows(encode_windows(captures, {})), decode_states(encode_states(captures, {}))

    def said(**changes: Any) -> str | None:
        return capture_fault(
            {window.id: window for window in seeing.windows}, [(replace(sums, **changes), states)], 4, 0
        )

    assert said() is None
    image_W, sums_WLL = sums.num_image_tokens, sums.image_sums_WLL
    assert image_W is not None
    assert sums_WLL is not None
    spoilt = sums_WLL.copy()
    spoilt[1, 0, 1] = float(image_W[1]) + 1
    for changes in (
        {"num_image_tokens": image_W + 1},
        {"num_image_tokens": image_W * 0},
        {"num_image_tokens": None, "image_sums_WLL": None},
        {"image_sums_WLL": sums_WLL * 0.5},
        {"image_sums_WLL": sums_WLL * np.nan},
        {"image_sums_WLL": spoilt},
    ):
        assert "cannot be those of its states" in str(said(**changes))


def test_without_images_there_are_no_kinds(seeing: Seeing) -> None:
    windows = [replace(window, medium=None, num_given=0, tokens=TEXT) for window in seeing.windows]
    captures = capture_windows(seeing.model, seeing.family, windows, sampled_tokens=4, seed=0)
    sums = decode_windows(encode_windows(captures, {}))
    assert sums.num_image_tokens is None
    assert similarity_of([sums], seed=0).kinds == ()


def test_an_image_is_alone_in_its_pass_and_text_is_not(seeing: Seeing) -> None:
    alone = [replace(window, medium=None, num_given=0) for window in seeing.windows]
    assert [len(passed) for passed in passes_of([*seeing.windows, *alone])] == [1, 1, 1, 3]


def test_a_loss_is_that_of_the_text_given_the_image(seeing: Seeing) -> None:
    [loss] = window_losses(seeing.model, [seeing.window()])
    feed = feed_of([seeing.window()], seeing.model)
    logits = direct(seeing.model, feed.inputs).logits
    expected = torch.nn.functional.cross_entropy(logits[0, -len(TEXT) - 1 : -1], torch.tensor(TEXT))
    assert loss.loss == pytest.approx(float(expected), abs=1e-5)
    assert loss.num_predicted == len(TEXT)


def test_what_prepares_images_is_the_same_wherever_torchvision_is(seeing: Seeing) -> None:
    [pixels] = prepared(medium(), seeing.folder)["pixel_values"]
    assert pixels.shape == (3, 8, 8)
    assert -3 < float(pixels.min()) < float(pixels.max()) < 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no image", "an image cannot be read"),
        (png(0)[:-30], "an image cannot be read"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "an image cannot be read"),
        (saved(Image.new("I;16", (8, 8), 300)), "an image has more than 8 bits a value"),
    ],
)
def test_what_is_no_image_is_said_with_the_document(seeing: Seeing, data: bytes, said: str) -> None:
    spoilt = replace(seeing.window(7), medium=Medium(kind="image", base64=base64.b64encode(data).decode()))
    with pytest.raises(CorpusError, match=f"7: {said}"):
        check_media([seeing.window(), spoilt], seeing.folder)


@pytest.mark.parametrize(
    ("kind", "exactly"), [("JPEG", {"quality": 100, "subsampling": 0}), ("PNG", {}), ("WEBP", {"lossless": True})]
)
def test_an_image_stands_as_the_camera_was_held(seeing: Seeing, kind: str, exactly: dict[str, Any]) -> None:
    upright, exif = Image.open(io.BytesIO(png(0, 8, 16))), Image.Exif()
    exif[0x0112] = 6
    lying = saved(upright.rotate(90, expand=True), kind, exif=exif, **exactly)
    turned, expected = (
        prepared(Medium(kind="image", base64=base64.b64encode(data).decode()), seeing.folder)["pixel_values"]
        for data in (lying, saved(upright))
    )
    assert float((turned - expected).abs().max()) < 0.2


@pytest.mark.parametrize("seeing", CROWDED, ids=str, indirect=True)
def test_tokens_of_a_vision_stack_are_never_told_apart(seeing: Seeing, tmp_path: Path) -> None:
    window = seeing.window()
    [whole] = capture_windows(seeing.model, seeing.family, [window], 4, 0)
    feed = feed_of([window], seeing.model)
    # A text and its image of as many tokens as the stack has states.
    length = len(window.tokens) + whole.num_tokens - feed.tokens_BT.shape[1]
    window = replace(window, tokens=(*seeing.given, *range(30, 30 + length - len(seeing.given))))
    assert feed_of([window], seeing.model).tokens_BT.shape[1] == whole.num_tokens
    streamed = stream_model(seeing.folder, ComputeSpec(capture_mode="streamed"))
    for captures in (
        capture_windows(seeing.model, seeing.family, [window, seeing.window(2)], 4, 0),
        capture_streamed(streamed, seeing.family, [window, seeing.window(2)], 4, 0, tmp_path),
    ):
        assert [capture.image_sums_LL for capture in captures] == [None, None]
        assert len(decode_windows(encode_windows(captures, {})).ids) == 2


def test_a_broken_image_does_no_more_than_be_refused(seeing: Seeing) -> None:
    with suppress(CorpusError):
        prepared(Medium(kind="image", base64=base64.b64encode(SPOILT_PALETTE).decode()), seeing.folder)


def test_an_image_that_would_fill_the_memory_is_not_decoded(seeing: Seeing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorp.media._MAX_PIXELS", 100)
    with pytest.raises(CorpusError, match="an image of 16 x 8 is too large"):
        prepared(medium(), seeing.folder)


def test_a_checkpoint_that_does_not_say_how_is_refused(seeing: Seeing, tmp_path: Path) -> None:
    bare = make_case(PUBLISHED, tmp_path / "bare")
    with pytest.raises(SourceError, match="what prepares an image cannot be loaded") as refused:
        prepared(medium(), bare)
    assert "\n" not in str(refused.value)


def test_several_parts_of_an_image_are_all_counted(tmp_path: Path) -> None:
    seeing = Seeing(TILED, tmp_path / "model")
    feed = feed_of([seeing.window()], seeing.model)
    assert feed.media["pixel_values"].shape[1] > 1


@every_tower
def test_a_trial_costs_what_the_variant_without_these_vision_blocks_loses(seeing: Seeing, tmp_path: Path) -> None:
    trials = ModelTrials(seeing.model, seeing.checkpoint, MendWindows(tuple(seeing.windows)), score(seeing))
    for number, removed in enumerate([(1,), (2, 3), (1, 3)]):
        (folder := tmp_path / str(number)).mkdir()
        prune(seeing.checkpoint, without(*removed), folder)
        expected = [item.loss for item in window_losses(load_model(folder, ComputeSpec()), score(seeing).windows)]
        assert trials.losses(removed, mended=False) == pytest.approx(expected, abs=1e-6)
        assert trials.losses(removed, mended=True) != pytest.approx(expected, abs=1e-9)
        assert np.mean(trials.losses(removed, mended=True)) < 50


@every_tower
def test_vision_blocks_are_healed_towards_what_they_made_of_other_images(seeing: Seeing) -> None:
    for method in get_args(ClosedForm):
        repaired = repair(seeing.model, seeing.checkpoint, without(2), healing(seeing), method)
        [first, *_] = repaired.repairs
        assert (first.block, first.site) == (1, "mlp_write")
        assert first.error is not None
        assert 0 < first.error <= 1
        assert repaired.tensors
        assert all(seeing.family.block_of(name) is not None for name in repaired.tensors)


def score(seeing: Seeing) -> ScoreWindows:
    return ScoreWindows(tuple(seeing.window(seed) for seed in range(20, 24)))


def healing(seeing: Seeing) -> HealingWindows:
    return HealingWindows(
        fit=FitWindows(tuple(seeing.window(seed) for seed in range(12))), ridge=RidgeWindows(score(seeing).windows)
    )


def without(*removed: int) -> PruningPlan:
    steps = [Removal(block=block, cluster=None, score=0.0) for block in removed]
    return replace(plan_of("by hand", NUM_BLOCKS, steps), stack="vision")


@pytest.mark.parametrize("seeing", [STATE_4], ids=str, indirect=True)
@pytest.mark.parametrize("method", get_args(ClosedForm))
def test_nothing_is_healed_towards_a_state_past_the_one_that_is_used(seeing: Seeing, method: ClosedForm) -> None:
    past, up_to, beyond = (
        repair(seeing.model, seeing.checkpoint, without(*removed), healing(seeing), method)
        for removed in ((4,), (3,), (3, 4))
    )
    assert (past.repairs, past.tensors) == ((), {})
    assert up_to.tensors.keys() == beyond.tensors.keys()
    assert all(torch.equal(up_to.tensors[name], beyond.tensors[name]) for name in up_to.tensors)
    assert up_to.tensors


@pytest.mark.parametrize("said", [[0], -(NUM_BLOCKS + 1)])
def test_plans_of_a_stack_of_which_no_block_is_used_cost_nothing(tmp_path: Path, said: object) -> None:
    seeing = Seeing(replace(STATE_4, settings={**STATE_4.settings, "vision_feature_layer": said}), tmp_path / "model")
    trials = ModelTrials(seeing.model, seeing.checkpoint, MendWindows(tuple(seeing.windows)), score(seeing))
    assert trials.losses((1, 2), mended=True) == trials.losses((), mended=False)


@pytest.mark.parametrize("seeing", SEVERAL, ids=str, indirect=True)
def test_where_features_are_of_several_states_nothing_is_tried_and_it_is_said(seeing: Seeing) -> None:
    with pytest.raises(SpecError, match=r"are of \d states") as refused:
        ModelTrials(seeing.model, seeing.checkpoint, MendWindows(tuple(seeing.windows)), score(seeing))
    assert "a --heal that is not auto" in str(refused.value)
    assert window_losses(seeing.model, seeing.windows)[0].loss is not None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crop_size": {"height": 1 << 20, "width": 8}}, "asks for images of 1048576 pixels"),
        ({"size": {"shortest_edge": 1 << 40}}, "asks for images of"),
        ({"crop_size": {"height": 16, "width": 16}}, "is none for the model"),
        ({"image_mean": [0.5]}, "an image cannot be prepared"),
        ({"size": "large"}, "what prepares an image cannot be loaded"),
    ],
)
def test_settings_that_cannot_be_are_said_in_one_line(seeing: Seeing, settings: dict[str, object], said: str) -> None:
    edit_json(seeing.folder / "preprocessor_config.json", **settings)
    with pytest.raises(SourceError, match=said) as refused:
        feed_of([seeing.window()], seeing.model)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("token", [-1, 256, 10**9])
def test_a_token_of_images_that_the_model_does_not_know_is_refused(seeing: Seeing, token: int) -> None:
    edit_json(seeing.folder / "config.json", image_token_index=token)
    with pytest.raises(SourceError, match="what stands for an image in its config is no token of its vocabulary"):
        frame_of(seeing.folder, "image", 0)


def test_an_image_that_is_a_line_is_not_made_a_wall(seeing: Seeing) -> None:
    line = Medium(kind="image", base64=base64.b64encode(png(0, 1, 1000)).decode())
    with pytest.raises(CorpusError, match="an image of 1 x 1000 is a line"):
        prepared(line, seeing.folder)
