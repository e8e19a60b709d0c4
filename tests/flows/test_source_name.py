"""The name of a source, whatever kind of address it has."""

import pytest

from flows.recompress import default_name
from lorp.names import source_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("models/Small", "Small"),
        ("models/Small/", "Small"),
        ("SmolLM2-135M.Q4_1.gguf", "SmolLM2-135M.Q4_1.gguf"),
        ("hf://org/Small@main", "Small"),
        ("hf://org/Small", "Small"),
        ("hf://Small@refs/pr/1", "Small"),
        ("s3://bucket/models/Small", "Small"),
        ("s3://bucket/Small/", "Small"),
        ("mlflow:models:/small@candidate", "small"),
        ("mlflow:models:/small/3", "small"),
    ],
)
def test_the_model_s_name_without_revision_or_place(source: str, name: str) -> None:
    assert source_name(source) == name
    assert default_name(source) == f"{name.removesuffix('.gguf').lower()}-lorp"
