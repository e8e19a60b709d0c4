"""A small model that sees, and has learnt to name colours, is pruned on images and texts, judged and audited."""

import json
import random
import re
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pico import save_byte_tokenizer
from support import Lorp

COLOURS = {"red": (220, 20, 20), "lime": (20, 220, 20), "blue": (20, 20, 220), "grey": (120, 120, 120)}
SIDE, PATCH, IMAGE = 16, 8, 250
TEXT, VISION = 6, 6
#: Of single bytes: four colours of four and a half bytes are worth two bits each to one who does not look.
GUESSED = 4 ** (4 / 19)
OPTIONS = (
    "--calibration-windows=24", "--evaluation-windows=80", "--window-tokens=32", "--speed-rounds=0",
    "--generation-prompts=8", "--generation-tokens=24", "--max-perplexity-ratio=9", "--search-swaps=4", "--json",
)  # fmt: skip


def drawn(seeded: random.Random) -> tuple[list[str], bytes]:
    """Colours of four patches, and their image as a PNG file."""
    from PIL import Image

    names = [seeded.choice([*COLOURS]) for _ in range(4)]
    image = Image.new("RGB", (SIDE, SIDE))
    for place, name in enumerate(names):
        noisy = tuple(min(255, max(0, part + seeded.randrange(-20, 20))) for part in COLOURS[name])
        left, top = place % 2 * PATCH, place // 2 * PATCH
        image.paste(noisy, (left, top, left + PATCH, top + PATCH))
    file = BytesIO()
    image.save(file, "PNG")
    return names, file.getvalue()


def caption(names: list[str]) -> str:
    return " ".join(names)


@cache
def tokens_of(text: str, folder: Path) -> list[int]:
    from transformers import AutoTokenizer

    ids: list[int] = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
    return ids


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import CLIPImageProcessorPil, LlavaConfig, LlavaForConditionalGeneration

    folder = tmp_path_factory.mktemp("looking")
    save_byte_tokenizer(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    text = {
        "model_type": "llama", "vocab_size": 256, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": TEXT,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": None,
        "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    vision = {
        "model_type": "clip_vision_model", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": VISION,
        "num_attention_heads": 4, "image_size": SIDE, "patch_size": PATCH, "projection_dim": 32,
    }  # fmt: skip
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=IMAGE, vision_feature_layer=-2)
    model: Any = LlavaForConditionalGeneration(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=(steps := 250))
    seeded = random.Random(0)
    model.train()
    for _ in range(steps):
        batch = [drawn(seeded) for _ in range(16)]
        rows = [[IMAGE] * 4 + tokens_of(caption(names), folder) for names, _ in batch]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        labels = torch.tensor([[-100] * 4 + row[4:] + [-100] * (longest - len(row)) for row in rows])
        pixels = torch.stack([processor(opened(data), return_tensors="pt")["pixel_values"][0] for _, data in batch])
        optimiser.zero_grad()
        model(input_ids=ids, pixel_values=pixels, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    model.eval().save_pretrained(folder)
    return folder


def opened(data: bytes) -> Any:
    from PIL import Image

    return Image.open(BytesIO(data)).convert("RGB")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, seeded = tmp_path_factory.mktemp("pairs"), random.Random(1)
    rows = []
    for number in range(400):
        names, data = drawn(seeded)
        (folder / f"{number}.png").write_bytes(data)
        rows.append({"image": f"{number}.png", "caption": caption(names)})
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(("stack", "depths"), [(None, (4, 6)), ("vision", (6, 4))])
def test_a_stack_is_pruned_on_images_and_texts(
    trained: Path, pairs: Path, lorp: Lorp, prefect_server: None, stack: str | None, depths: tuple[int, int]
) -> None:
    named = (f"--stack={stack}",) if stack else ()
    asked = (*named, f"--pairs={pairs}#image:caption,image", "--remove=2", "--method=greedy")
    plain, healed = (lorp("recompress", trained, *asked, *OPTIONS, f"--heal={heal}") for heal in ("none", "auto"))
    assert (plain.status, healed.status) == (0, 0), plain.err + healed.err
    assert plain.json["perplexity"]["dense"] < 0.85 * GUESSED
    assert plain.json["perplexity"]["ratio"] > 1
    assert healed.json["perplexity"]["ratio"] < plain.json["perplexity"]["ratio"]
    page = Path(healed.json["report"]).read_text()
    kinds = [each["kind"] for each in healed.json["similarity"]["kinds"]]
    assert kinds == re.findall(r'data-kind="(\w+)"', page) == ([] if stack else ["image", "text"])
    variant = Path(healed.json["report"]).parents[1] / "variants" / healed.json["variant"]["digest"]
    config = json.loads((variant / "config.json").read_text())
    assert depths == tuple(config[part]["num_hidden_layers"] for part in ("text_config", "vision_config"))
    told = lorp("audit", "--all", "--replay", "--json")
    assert (told.status, told.json["faults"]) == (0, [])


def test_both_stacks_are_pruned_one_after_the_other(
    trained: Path, pairs: Path, lorp: Lorp, prefect_server: None, tmp_path: Path
) -> None:
    asked = (f"--pairs={pairs}#image:caption,image", "--remove=2", "--method=shortgpt", "--heal=linear", "--name=both")
    options = (*OPTIONS, "--max-perplexity-ratio=1000000")
    first = lorp("recompress", trained, "--stack=vision", *asked, *options)
    second = lorp("recompress", "mlflow:models:/both/1", *asked, *options)
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert second.json["checkpoint"]["digest"] == first.json["variant"]["digest"]
    pulled = lorp("pull", "both@2", f"--to={tmp_path}/two")
    assert pulled.status == 0, pulled.err
    config, plan = (json.loads((tmp_path / "two" / name).read_text()) for name in ("config.json", "pruning_plan.json"))
    assert [config[part]["num_hidden_layers"] for part in ("text_config", "vision_config")] == [TEXT - 2, VISION - 2]
    assert config["lorp"] == {"kept_blocks": second.json["plan"]["kept"], "source_num_blocks": TEXT}
    assert (plan["kept_blocks"], "stack" in plan) == (second.json["plan"]["kept"], False)
    told = lorp("audit", "--all", "--replay", "--json")
    assert (told.status, told.json["faults"]) == (0, [])


def test_as_many_vision_blocks_as_the_budget_allows_and_how_much_faster(
    trained: Path, pairs: Path, lorp: Lorp, prefect_server: None
) -> None:
    asked = ("--stack=vision", f"--pairs={pairs}#image:caption,image", "--method=shortgpt", "--heal=linear")
    found = lorp("recompress", trained, *asked, *OPTIONS, "--max-perplexity-ratio=1.2", "--speed-rounds=3")
    assert found.status == 0, found.err
    assert found.json["perplexity"]["upper_bound"] < 1.2
    assert 1 <= len(found.json["plan"]["removed"]) < VISION
    assert found.json["measured"]["memory_ratio"] < 1
    page = Path(found.json["report"]).read_text()
    [tokens] = re.findall(r"an image and its text, (\d+) tokens together", page)
    assert int(tokens) > 4 + 4 * len("red ")


def test_streamed_it_comes_to_the_same(trained: Path, pairs: Path, lorp: Lorp, prefect_server: None) -> None:
    asked = (f"--pairs={pairs}#image:caption,image", "--remove=2", "--method=lorp", "--generation-prompts=0")
    one, other = (
        lorp("recompress", trained, *asked, *OPTIONS, f"--capture-mode={mode}") for mode in ("memory", "streamed")
    )
    assert (one.status, other.status) == (0, 0), one.err + other.err
    assert one.json["plan"]["removed"] == other.json["plan"]["removed"]
    for name in ("dense", "pruned"):
        assert one.json["perplexity"][name] == pytest.approx(other.json["perplexity"][name], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stack=vision"], "is text by itself, and the model makes it from an image. Give pairs"),
        (["--stack=encoder", "--pairs=PAIRS#image:caption,image"], "its stacks are text and vision"),
        (["--pairs=PAIRS#image:caption"], "is a pair of another kind (text): the model makes it from an image"),
        (["--pairs=PAIRS#image:caption,sound"], "is a pair of another kind (sound): the model makes it from an image"),
        (["--pairs=PAIRS#picture:caption,image"], "has no field 'picture'; it has image, caption"),
        (["--pairs=PAIRS#caption,image"], "is one column, and a pair has two. Write #SOURCE:TARGET"),
        (["--pairs=PAIRS#caption:caption,image"], "which is no file in"),
        (["--pairs=PAIRS#image:caption,image", "--tasks=copa"], "tasks are asked of text by itself"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_line(
    trained: Path, pairs: Path, lorp: Lorp, prefect_server: None, options: list[str], said: str
) -> None:
    words = [option.replace("PAIRS", str(pairs)) for option in options]
    told = lorp("recompress", trained, "--remove=1", *OPTIONS[:-1], *words)
    *_, last = told.err.splitlines()
    assert (told.status, said in last) == (2, True), told.err


def test_an_image_that_is_none_is_said_before_anything_runs(
    trained: Path, pairs: Path, lorp: Lorp, prefect_server: None, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    for row in rows:
        (tmp_path / row["image"]).write_bytes(f"no image, {row['image']}".encode())
    (tmp_path / "pairs.jsonl").write_bytes(pairs.read_bytes())
    told = lorp(
        "recompress", trained, "--remove=1", *OPTIONS[:-1], f"--pairs={tmp_path}/pairs.jsonl#image:caption,image"
    )
    *_, last = told.err.splitlines()
    assert (told.status, "an image cannot be read" in last, "rows/" in last) == (2, True, True), told.err


def test_a_model_of_text_takes_no_images(pico: Path, pairs: Path, lorp: Lorp, prefect_server: None) -> None:
    told = lorp("recompress", pico, "--remove=1", f"--pairs={pairs}#image:caption,image", *OPTIONS[:-1])
    assert (told.status, "is a pair, and text by itself is wanted" in told.err) == (2, True), told.err
    other = lorp("recompress", pico, "--remove=1", "--stack=vision")
    assert (other.status, "has no vision stack" in other.err) == (2, True), other.err
