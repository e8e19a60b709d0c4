"""What models that see are given: an image, and text around it."""

from typing import Any

import torch
from families import Case

IMAGE_TOKEN = 250
SPECIAL_TOKENS = [250, 251, 252, 253]


def image_of(case: Case, seed: int = 0) -> dict[str, torch.Tensor]:
    """A random image, as the family's processor would hand it on."""
    torch.manual_seed(seed)
    if "Qwen2" in case.data.name and "VL" in case.data.name:
        return {"pixel_values": torch.randn(16, 3 * 2 * 4 * 4), "image_grid_thw": torch.tensor([[1, 4, 4]])}
    if "NeXT" in case.data.name:
        return {"pixel_values": torch.randn(1, 3, 3, 8, 8), "image_sizes": torch.tensor([[8, 16]])}
    return {"pixel_values": torch.randn(1, 3, 8, 8)}


def prompt_with(case: Case, model: Any, image: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Text, the image and more text."""
    with torch.inference_mode():
        features = model.get_image_features(**image).pooler_output
    num_tokens = sum(len(part.reshape(-1, part.shape[-1])) for part in features)
    tokens = [3, 5, 8, *[IMAGE_TOKEN] * num_tokens, *range(40, 60)]
    ids = torch.tensor([tokens])
    kinds = (ids == IMAGE_TOKEN).long()
    named = {"qwen2_vl": "mm_token_type_ids", "qwen2_5_vl": "mm_token_type_ids", "gemma3": "token_type_ids"}
    [model_type] = case.data.model_types
    return {"input_ids": ids, **image, **({named[model_type]: kinds} if model_type in named else {})}
