"""Ways to see how block inputs resemble each other, each on the same windows of SmolLM2's vocabulary."""

from collections.abc import Callable
from pathlib import Path

WINDOW_TOKENS = 256


def works(checkpoint: Path, num_windows: int) -> dict[str, Callable[[], object]]:
    """What is compared, by name, on one loaded model."""
    from lorp.architectures import family_of
    from lorp.config_file import read_json
    from lorp.models import load_model
    from lorp.spec import ComputeSpec

    model = load_model(checkpoint, ComputeSpec())
    family, windows = family_of(read_json(checkpoint / "config.json")), _windows(num_windows)
    return {
        "capture": lambda: _capture_and_score(model, family, windows),
        "bare": lambda: _bare(model, windows),
        "reference": lambda: _reference(model, windows, "itd,jtd->ijt"),
        "joined reference": lambda: _reference(model, windows, "itd,jtd->ij"),
    }


def _windows(num_windows: int) -> list:
    from lorp.corpus import Window

    tokens = [7 * index % 40_000 + 5 for index in range(num_windows * WINDOW_TOKENS)]
    return [
        Window(
            id=f"w@{start}", document=f"w{start}", text_sha256="", tokens=tuple(tokens[start : start + WINDOW_TOKENS])
        )
        for start in range(0, len(tokens), WINDOW_TOKENS)
    ]


def _capture_and_score(model: object, family: object, windows: list) -> object:
    """Cosine sums and sampled states of all windows, then similarity and RLS with its bootstrap interval."""
    import numpy as np

    from lorp.capture import capture_windows
    from lorp.parquet import WindowSums
    from lorp.similarity import similarity_of

    captures = capture_windows(model, family, windows, 8, 0)
    sums = WindowSums(
        ids=tuple(capture.window.id for capture in captures),
        documents=tuple(capture.window.document for capture in captures),
        num_tokens=np.array([len(capture.window.tokens) for capture in captures]),
        cosine_sums_WLL=np.stack([capture.cosine_sums_LL for capture in captures]),
    )
    return similarity_of([sums], 0)


def _bare(model: object, windows: list) -> None:
    import torch

    with torch.inference_mode():
        for window in windows:
            model.base_model(input_ids=torch.tensor([window.tokens]), use_cache=False)  # type: ignore[attr-defined]


def _reference(model: object, windows: list, products: str) -> object:
    """The reference recipe, in our own words."""
    import torch

    kept: list[torch.Tensor] = []
    blocks = model.model.layers  # type: ignore[attr-defined]
    hooks = [block.register_forward_pre_hook(lambda _, args: kept.append(args[0].detach())) for block in blocks]
    total = torch.zeros(len(blocks), len(blocks), dtype=torch.float64)
    with torch.inference_mode():
        for window in windows:
            kept.clear()
            model(input_ids=torch.tensor([window.tokens]))  # type: ignore[operator]
            unit = torch.nn.functional.normalize(torch.stack(kept)[:, 0].float(), dim=-1)
            summed = torch.einsum(products, unit, unit)
            total += (summed.sum(-1) if summed.dim() == 3 else summed).double() / unit.shape[1]
    for hook in hooks:
        hook.remove()
    return total / len(windows)
