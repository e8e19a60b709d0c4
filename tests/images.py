"""Images for pico models that see, and the settings by which they are prepared."""

import io
import random
from pathlib import Path
from typing import Any

from families import Case

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
