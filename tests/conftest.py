"""Fixtures for all tests: a pico model of 6 blocks, made anew for each session."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.update(DO_NOT_TRACK="1", HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true", TOKENIZERS_PARALLELISM="false")

NUM_BLOCKS = 6


def make_pico(folder: Path, **overrides: object) -> Path:
    """Writes a Llama-shaped checkpoint with random weights that do something, and a tokenizer of single bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    settings = {
        "vocab_size": 256,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": NUM_BLOCKS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**settings, **overrides}))
    model.save_pretrained(folder, max_shard_size=overrides.get("max_shard_size", "5GB"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pico(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound pico checkpoint; tests must not change it."""
    return make_pico(tmp_path_factory.mktemp("pico"))


@pytest.fixture
def pico_copy(pico: Path, tmp_path: Path) -> Path:
    """A pico checkpoint to spoil."""
    import shutil

    return Path(shutil.copytree(pico, tmp_path / "checkpoint"))


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Prefect server with an empty database for all tests that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def edit_json(path: Path, **changes: object) -> None:
    """Changes fields of a JSON file; None removes one."""
    value = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: field for name, field in value.items() if field is not None}))
