"""A small Whisper that has learnt to spell what it hears is pruned in each stack: healed, judged, shown and audited.

Each letter is a tone of its own, and a full stop is silence; texts end with it.
"""

import json
import math
import random
import re
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import CASES, make_case
from numpy.typing import NDArray
from pico import edit_json
from support import Lorp
from trained import train

LETTERS, LONGEST, TONE = "abcdefghijkl", 9, 0.1
ENCODER, DECODER = 5, 4
#: Where models are trained, and of the files: they have to be resampled.
RATE, FILE_RATE = 16_000, 8_000
#: Of single bytes; one that does not listen comes no lower than 9, and in silence this one says worse.
LEARNT = 2.0
SETTINGS = {
    "vocab_size": 256, "d_model": 48, "encoder_layers": ENCODER, "decoder_layers": DECODER, "dropout": 0.0,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 96, "decoder_ffn_dim": 96,
    "num_mel_bins": 16, "max_source_positions": 40, "max_target_positions": 64, "decoder_start_token_id": 0,
    "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 13, "begin_suppress_tokens": None, "suppress_tokens": None,
}  # fmt: skip
OPTIONS = (
    "--calibration-windows=24", "--evaluation-windows=64", "--window-tokens=32", "--speed-rounds=0",
    "--generation-prompts=8", "--generation-tokens=16", "--max-perplexity-ratio=9", "--search-swaps=4", "--json",
)  # fmt: skip


def extractor() -> Any:
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=16, chunk_length=1, hop_length=200)  # type: ignore[no-untyped-call]


def spoken(text: str, rate: int) -> NDArray[np.float32]:
    times = np.arange(round(TONE * rate)) / rate
    tones = [0.5 * np.sin(2 * math.pi * (400 + 250 * LETTERS.index(letter)) * times) for letter in text.rstrip(".")]
    return np.concatenate(tones).astype(np.float32)


def some_text(seeded: random.Random) -> str:
    return "".join(seeded.choice(LETTERS) for _ in range(LONGEST)) + "."


def heard(seeded: random.Random) -> dict[str, Any]:
    import torch

    texts = [some_text(seeded) for _ in range(16)]
    sounds = [spoken(text, RATE) for text in texts]
    features = extractor()(sounds, sampling_rate=RATE, return_tensors="pt")["input_features"]
    return {"input_features": features, "labels": torch.tensor([token_ids(text) for text in texts])}


def token_ids(text: str) -> list[int]:
    """Of the tokenizer whose tokens are the bytes in the order of their printable names."""
    return [ord(character) - ord("!") for character in text]


def write_wav(path: Path, samples: NDArray[np.float32], rate: int = FILE_RATE) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig(**SETTINGS))
    folder = train(model, tmp_path_factory.mktemp("listener"), heard, steps=450)
    extractor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, seeded = tmp_path_factory.mktemp("sounds"), random.Random(1)
    (folder / "wav").mkdir()
    rows = []
    for number in range(500):
        text = some_text(seeded)
        write_wav(folder / f"wav/{number}.wav", spoken(text, FILE_RATE))
        rows.append({"audio": f"wav/{number}.wav", "text": text})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "pairs.jsonl"


def test_it_spells_what_it_hears_and_not_silence(listener: Path, tmp_path: Path) -> None:
    from lorp.corpus import Window
    from lorp.corpus.media import medium_of
    from lorp.evaluation.perplexity import window_losses
    from lorp.models import load_model
    from lorp.spec import ComputeSpec

    text = some_text(random.Random(7))
    losses = []
    for samples in (spoken(text, FILE_RATE), np.zeros(800, np.float32)):
        write_wav(tmp_path / "sound.wav", samples)
        medium = medium_of("sound", "sound.wav", tmp_path, "row 1")
        window = Window(id="w", document="d", text_sha256="", tokens=tuple(token_ids(text)), medium=medium)
        [found] = window_losses(load_model(listener, ComputeSpec()), [window])
        losses.append(found.loss)
    assert math.exp(losses[0]) < LEARNT
    assert math.exp(losses[1]) > len(LETTERS)


@pytest.mark.parametrize(("stack", "method", "rounds"), [("decoder", "greedy", 0), ("encoder", "lorp", 3)])
def test_a_stack_that_hears_is_pruned_healed_and_audited(
    listener: Path, sounds: Path, lorp: Lorp, prefect_server: None, stack: str, method: str, rounds: int
) -> None:
    rows = sounds if stack == "decoder" else sounds.parent
    asked = (f"--stack={stack}", f"--pairs={rows}#audio:text,sound", "--remove=2", f"--method={method}")
    options = (*asked, *OPTIONS, f"--speed-rounds={rounds}")
    plain, healed = (lorp("recompress", listener, *options, f"--heal={heal}") for heal in ("none", "auto"))
    assert (plain.status, healed.status) == (0, 0), plain.err + healed.err
    assert plain.json["perplexity"]["dense"] < LEARNT
    assert plain.json["perplexity"]["ratio"] > 1.2
    assert healed.json["perplexity"]["ratio"] < 1.1
    check_variant(Path(healed.json["variant"]["uri"].removeprefix("file://")), stack)
    check_page(Path(healed.json["report"]), stack, rounds)
    told = lorp("audit", "--all", "--replay", "--json")
    assert (told.status, told.json["faults"]) == (0, [])


def check_variant(variant: Path, stack: str) -> None:
    """It is a Whisper without two blocks, and what prepares sounds goes with it."""
    from transformers import AutoFeatureExtractor, AutoModelForSpeechSeq2Seq

    loaded: Any = AutoModelForSpeechSeq2Seq.from_pretrained(variant, output_loading_info=True)
    model, loading = loaded
    assert not any(loading.values())
    depths = {"encoder": ENCODER, "decoder": DECODER, stack: {"encoder": ENCODER, "decoder": DECODER}[stack] - 2}
    assert (model.config.encoder_layers, model.config.decoder_layers) == (depths["encoder"], depths["decoder"])
    assert json.loads((variant / "config.json").read_text())["lorp"]["stack"] == stack
    assert AutoFeatureExtractor.from_pretrained(variant).to_dict() == extractor().to_dict()


def check_page(report: Path, stack: str, rounds: int) -> None:
    """What stands for a sound, where the page of a text shows the text."""
    page = report.read_text()
    assert f"blocks of its {stack} (" in page
    assert "64 pairs of a sound and its text, at most 32 tokens long, from 64 documents" in page
    assert "Texts that are greedily made from 8 sounds of evaluation pairs; at most 16 tokens each" in page
    assert '<th scope="col">Made from the sound of</th>' in page
    label = "rows" if stack == "decoder" else "pairs.jsonl"
    samples = page[page.index('<table class="samples">') :]
    assert (
        len(re.findall(rf'<th scope="row"><bdi>{label}/\d+</bdi></th><td><bdi>[{LETTERS}]+</bdi></td>', samples)) == 4
    )
    assert ("a sound, of which the encoder makes 40 states, then 8 tokens" in page) == bool(rounds)


def test_both_stacks_that_hear_are_pruned_within_one_budget(
    listener: Path, sounds: Path, lorp: Lorp, prefect_server: None
) -> None:
    asked = ("--stack=both", f"--pairs={sounds}#audio:text,sound", "--remove=1", "--method=shortgpt", "--heal=none")
    done = lorp("recompress", listener, *OPTIONS, *asked, "--name=both")
    assert done.status == 0, done.err
    decoder, encoder = map(json.loads, done.out.splitlines())
    assert (decoder["plan"]["stack"], encoder["plan"]["stack"]) == ("decoder", "encoder")
    assert encoder["checkpoint"]["digest"] == decoder["variant"]["digest"]
    assert encoder["perplexity"]["dense"] == pytest.approx(decoder["perplexity"]["pruned"])
    told = lorp("audit", "--all", "--json")
    assert (told.status, told.json["faults"]) == (0, [])


def test_as_many_blocks_of_an_encoder_that_hears_as_the_budget_allows(
    listener: Path, sounds: Path, lorp: Lorp, prefect_server: None, tmp_path: Path
) -> None:
    asked = ("--stack=encoder", f"--pairs={sounds}#audio:text,sound", "--method=shortgpt", "--max-perplexity-ratio=99")
    found = lorp("recompress", listener, *OPTIONS, *asked, "--name=listener", "--generation-prompts=0")
    assert found.status == 0, found.err
    assert len(found.json["plan"]["removed"]) == ENCODER - 2
    canary = tmp_path / "policy.yaml"
    canary.write_text("canaries: [{prompt: abc, contains: [a]}]")
    refused = lorp("promote", "listener", "--policy", canary)
    assert (refused.status, "makes texts from sounds" in refused.err.splitlines()[-1]) == (2, True), refused.err
    assert lorp("promote", "listener").status == 0
    assert lorp("pull", "listener@production", "--to", tmp_path / "pulled").status == 0
    assert (tmp_path / "pulled/preprocessor_config.json").is_file()


@pytest.mark.parametrize(
    ("pairs", "options", "said"),
    [
        ("SOUNDS#text:text", [], "is a pair of another kind (text): the model makes it from a sound. Write --pairs"),
        ("SOUNDS#audio:text,image", [], "is a pair of another kind (image): the model makes it from a sound."),
        (None, [], "is text by itself, and the model makes it from a sound. Give pairs with --pairs"),
        ("SOUNDS#audio,sound", [], "'audio,sound' is one column, and a pair has two. Write #SOURCE:TARGET"),
        ("SOUNDS#audio:text,sound,joined", [], "cannot be joined"),
        ("SOUNDS#sound:text,sound", [], "has no field 'sound'; it has audio, text"),
        (
            "SOUNDS#audio:text,sound",
            ["--window-tokens=65"],
            "windows of 65 tokens are longer than the model's context of",
        ),
        ("SOUNDS#audio:text,sound", ["--tasks=copa"], "Give --tasks none"),
        ("SOUNDS#audio:text,sound", ["--generation-tokens=65"], "continuations of 65 tokens are longer"),
    ],
)
def test_what_cannot_be_heard_is_said_in_one_line(
    listener: Path, sounds: Path, lorp: Lorp, prefect_server: None, pairs: str | None, options: list[str], said: str
) -> None:
    named = [f"--pairs={pairs}".replace("SOUNDS", str(sounds))] if pairs else []
    told = lorp("recompress", listener, "--remove=1", "--stack=encoder", *OPTIONS[:-1], *named, *options)
    *_, last = told.err.splitlines()
    assert (told.status, said in last) == (2, True), told.err


@pytest.mark.parametrize("family", ["T5", "Llama"])
def test_a_model_that_does_not_hear_is_given_no_sounds(
    family: str, sounds: Path, lorp: Lorp, prefect_server: None, tmp_path: Path
) -> None:
    case = next(case for case in CASES if case.family == family)
    stack = [f"--stack={case.stack}"] if case.stack else []
    options = ("--remove=1", *OPTIONS[:-1], f"--pairs={sounds}#audio:text,sound", "--tasks=none", *stack)
    told = lorp("recompress", make_case(case, tmp_path / "deaf"), *options)
    said = {
        "T5": "is a pair of another kind (sound): an encoder-decoder makes it from a source",
        "Llama": "is a pair, and",
    }
    assert (told.status, said[family] in told.err.splitlines()[-1]) == (2, True), told.err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "what prepares a sound cannot be loaded"),
        ({"chunk_length": 2}, "makes 160 frames of 16 bands of a sound, and the model takes 80 of 16"),
        ({"feature_size": 80}, "makes 80 frames of 80 bands of a sound, and the model takes 80 of 16"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_said_in_one_line(
    listener: Path, sounds: Path, lorp: Lorp, prefect_server: None, tmp_path: Path, settings: Any, said: str
) -> None:
    copy = Path(shutil.copytree(listener, tmp_path / "copy"))
    if settings:
        edit_json(copy / "preprocessor_config.json", **settings)
    else:
        (copy / "preprocessor_config.json").unlink()
    options = ("--remove=1", "--stack=decoder", f"--pairs={sounds}#audio:text,sound", *OPTIONS[:-1])
    told = lorp("recompress", copy, *options)
    assert (told.status, said in told.err.splitlines()[-1]) == (2, True), told.err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"ID3 no sound", "a sound is no WAV file of whole numbers: it does not begin like one. Write it as WAV"),
        ("long", "a sound of 1.5 s is longer than the 1 s that the model hears. Cut it, and its text"),
        (b"", "has 0 bytes"),
    ],
)
def test_a_bad_sound_is_said_with_its_row(
    listener: Path, sounds: Path, lorp: Lorp, prefect_server: None, tmp_path: Path, data: Any, said: str
) -> None:
    folder = Path(shutil.copytree(sounds.parent, tmp_path / "copy"))
    bad = folder / "wav/bad.wav"
    if data == "long":
        write_wav(bad, np.ones(12_000, np.float32))
    else:
        bad.write_bytes(data)
    lines = (folder / "pairs.jsonl").read_text().splitlines(keepends=True)
    text = json.dumps({"audio": "wav/bad.wav", "text": "abc."}) + "\n"
    (folder / "pairs.jsonl").write_text("".join([text, *lines[1:120]]))
    options = ("--remove=1", "--stack=decoder", f"--pairs={folder}/pairs.jsonl#audio:text,sound", *OPTIONS[:-1])
    told = lorp("recompress", listener, *options, "--calibration-windows=32", "--heal-windows=8", "--search-windows=8")
    *_, last = told.err.splitlines()
    named = "rows/1: " in last or "line 1 of" in last
    assert (told.status, said in last, named) == (2, True, True), told.err
