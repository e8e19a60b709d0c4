"""Images for pico models that see, as files and as models are given them, and settings by which they are prepared."""

import io
import random
from pathlib import Path
from typing import Any

import torch
from families import Case

IMAGE_TOKEN = 250
#: Those of images and around them, which no text is written with.
SPECIAL_TOKENS = [250, 251, 252, 253]
SIDE = 8
_SMALL: dict[str, Any] = {"size": {"height": SIDE, "width": SIDE}}
_CLIP: dict[str, Any] = {"size": {"shortest_edge": SIDE}, "crop_size": _SMALL["size"]}


def save_image_settings(case: Case, folder: Path) -> None:
    """Writes what says how images are prepared for a case."""
    import transformers

    settings = _CLIP if case.settings["vision_config"].get("model_type") == "clip_vision_model" else _SMALL
    [model_type] = case.data.model_types
    named: dict[str, tuple[str, dict[str, Any]]] = {
        "llava": ("CLIPImageProcessorPil" if settings is _CLIP else "SiglipImageProcessorPil", settings),
        "llava_next": (
            "LlavaNextImageProcessorPil",
            {**_CLIP, "image_grid_pinpoints": case.settings.get("image_grid_pinpoints")},
        ),
        "gemma3": ("Gemma3ImageProcessorPil", _SMALL),
    }
    patches = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2}
    pixels = {"size": {"shortest_edge": 8 * 8, "longest_edge": 16 * 16}}
    kind, given = named.get(model_type, ("Qwen2VLImageProcessorPil", {**patches, **pixels}))
    getattr(transformers, kind)(**given).save_pretrained(folder)


def png(seed: int, width: int = 2 * SIDE, height: int = SIDE) -> bytes:
    """An image of random colours, as a file holds it."""
    from PIL import Image

    seeded = random.Random(seed)
    file = io.BytesIO()
    Image.frombytes("RGB", (width, height), seeded.randbytes(3 * width * height)).save(file, "PNG")
    return file.getvalue()


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
