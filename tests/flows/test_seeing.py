"""A model that sees goes through the whole job as its text stack, and comes out as a model that sees."""

from pathlib import Path
from typing import Any

import pytest
from families import CASES, make_case
from pico import NUM_BLOCKS, edit_json
from support import PICO_OPTIONS, Lorp

OPTIONS = (*PICO_OPTIONS, "--remove=2", "--max-perplexity-ratio=100", "--heal=auto", "--name=seeing", "--json")


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("Qwen2-VL: own head, as published, window from block 3 on", ()),
        (
            "LLaVA around Llama: own head, as published",
            ("--capture-mode=streamed", "--speed-rounds=0", "--tasks=none", "--generation-prompts=0"),
        ),
    ],
)
def test_it_is_pruned_healed_judged_registered_and_audited(
    tmp_path: Path, lorp: Lorp, prefect_server: None, name: str, mode: tuple[str, ...]
) -> None:
    [case] = [case for case in CASES if str(case) == name]
    source = make_case(case, tmp_path / "source")
    edit_json(source / "config.json", bos_token_id=0)
    (source / "preprocessor_config.json").write_text('{"image_mean":  [0.5]}')
    done = lorp("recompress", source, *OPTIONS, *mode)
    assert done.status == 0, done.err
    check_variant(Path(done.json["variant"]["uri"].removeprefix("file://")))
    told = lorp("audit", "--all", "--replay", "--json")
    assert (told.status, told.json["faults"]) == (0, [])


@pytest.mark.parametrize(
    ("command", "stack", "said"),
    [
        ("recompress", "vision", "is text by itself, and the model makes it from an image"),
        ("recompress", "both", "Qwen2-VL has no decoder: its stacks are text and vision"),
        ("sweep", "encoder", "Qwen2-VL has no encoder: its stacks are text and vision"),
    ],
)
def test_what_cannot_be_pruned_of_it_is_said_in_one_line(
    tmp_path: Path, lorp: Lorp, prefect_server: None, command: str, stack: str, said: str
) -> None:
    [case] = [case for case in CASES if str(case) == "Qwen2-VL: tied head, as transformers 5 saves it"]
    told = lorp(
        command, make_case(case, tmp_path), "--window-tokens=32", "--speed-rounds=0", "--remove=1", f"--stack={stack}"
    )
    *_, last = told.err.splitlines()
    assert (told.status, said in last) == (2, True), told.err


def check_variant(variant: Path) -> None:
    from transformers import AutoModelForImageTextToText

    loaded: Any = AutoModelForImageTextToText.from_pretrained(variant, output_loading_info=True)
    model, loading = loaded
    assert not any(loading.values())
    assert model.config.get_text_config().num_hidden_layers == NUM_BLOCKS - 2
    assert (variant / "preprocessor_config.json").read_text() == '{"image_mean":  [0.5]}'
