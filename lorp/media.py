"""Sounds and images as files hold them -> what a model is given, by the settings that its checkpoint comes with.

Shapes: C channels, S samples of a sound.
"""

import io
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, WhisperFeatureExtractor

from lorp.corpus import Window
from lorp.corpus.media import Medium, MediumKind
from lorp.corpus.pairs import Frame
from lorp.errors import CorpusError, SourceError, first_line
from lorp.progress import track
from lorp.wav import read_wav

#: Most samples a second of a file, and most samples that a model hears: what asks for more takes all memory there is.
_MAX_RATE, _MAX_SAMPLES = 384_000, 1 << 26
#: Formats of images that are read, the most pixels that one may have, before and after it is prepared, and how many
#: times as long as wide it may be.
_FORMATS, _MAX_PIXELS, _MAX_SIDE, _MAX_ASPECT = ("PNG", "JPEG", "WEBP"), 1 << 26, 1 << 13, 200
#: Images of whole or real numbers that are no bytes.
_WIDE_MODES = ("I", "F")
_ONE: dict[MediumKind, str] = {"sound": "a sound", "image": "an image"}
_AROUND_IMAGE = (
    ("vision_start_token_id", "boi_token_id"),
    ("image_token_id",),
    ("vision_end_token_id", "eoi_token_id"),
)


def prepared(medium: Medium, folder: Path) -> dict[str, torch.Tensor]:
    """What a model is given for a sound or an image, by name of its argument, as a batch of one.

    Args:
        medium: The file.
        folder: The checkpoint, whose feature extractor or image processor prepares it.

    Raises:
        CorpusError: It is no WAV file, or no PNG, JPEG or WebP; or it is too long or too large.
        SourceError: The checkpoint does not say how to prepare it, or says something else than its model takes.
    """
    prepare = _processor(medium.kind, folder)
    if medium.kind == "sound":
        return {"input_features": _features(_sound(medium.data, prepare), prepare)}
    image = _image(medium.data)
    try:
        return dict(prepare(images=image, return_tensors="pt"))
    except Exception as fault:  # settings that do not fit each other fail anywhere in it
        raise SourceError(
            f"an image cannot be prepared: {first_line(fault)}", "Look at preprocessor_config.json"
        ) from fault


def frame_of(folder: Path, kind: MediumKind, begin: int | None) -> Frame:
    """What stands before a text that is made from a sound or an image.

    Args:
        folder: The checkpoint, whose config names the tokens.
        kind: What it is made from.
        begin: The tokenizer's token that begins a text.

    Raises:
        SourceError: What stands for an image or around one is no token of the vocabulary.
    """
    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if kind == "sound":
        return Frame(start=config.decoder_start_token_id, said=True)
    found = [[getattr(config, name, None) for name in names] for names in _AROUND_IMAGE]
    tokens = [next((token for token in each if type(token) is int), None) for each in found]
    image, known = tuple(token for token in tokens if token is not None), config.get_text_config().vocab_size
    if not image or not all(0 <= token < known for token in image):
        raise SourceError("what stands for an image in its config is no token of its vocabulary", "Mend the config")
    return Frame(start=begin, image=image)


def check_media(windows: Sequence[Window], folder: Path) -> None:
    """Prepares every sound and image once, so that what cannot be read is told before anything runs.

    Raises:
        CorpusError: With the first of them.
        SourceError: The checkpoint does not say how to prepare it.
    """
    for window in track(windows, "check sounds and images"):
        if window.medium:
            try:
                prepared(window.medium, folder)
            except CorpusError as fault:
                raise CorpusError(f"{window.document}: {fault.reason}", fault.remedy) from None


@lru_cache(maxsize=4)
def _processor(kind: MediumKind, folder: Path) -> Any:
    classes: dict[MediumKind, Any] = {"sound": AutoFeatureExtractor, "image": AutoImageProcessor}
    stock = {"trust_remote_code": False, "local_files_only": True}
    try:
        if kind == "sound":
            return _listening(classes[kind].from_pretrained(folder, **stock), folder)
        # With or without torchvision the same.
        return _looking(classes[kind].from_pretrained(folder, backend="pil", **stock))
    except SourceError:
        raise
    except Exception as fault:  # settings that are not what they should be fail anywhere in it
        raise SourceError(
            f"what prepares {_ONE[kind]} cannot be loaded: {first_line(fault)}",
            "Add preprocessor_config.json to the checkpoint",
        ) from fault


def _looking(processor: Any) -> Any:
    """The processor, if no image that it makes fills the memory.

    Raises:
        SourceError: It may.
    """
    # Processors that join patches count an image's pixels where others count those along a side.
    areas = ("shortest_edge", "longest_edge") if hasattr(processor, "merge_size") else ()
    largest = max(_whole_numbers(processor.to_dict(), areas), default=0)
    if largest > _MAX_SIDE:
        raise SourceError(f"preprocessor_config.json asks for images of {largest} pixels", "Fetch the checkpoint again")
    return processor


def _whole_numbers(value: Any, areas: Sequence[str]) -> Iterator[int]:
    """All in some settings; of areas their roots."""
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from _whole_numbers(inner, areas)
        elif type(inner) is int:
            yield math.isqrt(abs(inner)) if name in areas else abs(inner)


def _listening(extractor: Any, folder: Path) -> Any:
    """The extractor, if it gives what the model takes; it adds no noise, so that it gives the same each time.

    Raises:
        SourceError: It gives something else.
    """
    config: Any = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not isinstance(extractor, WhisperFeatureExtractor):
        raise SourceError(
            f"preprocessor_config.json is for {type(extractor).__name__}, and not for Whisper",
            "Fetch the checkpoint again",
        )
    # Two convolutions, of which the second halves the frames, make of them what the first block is given.
    taken = config.num_mel_bins, 2 * config.max_source_positions
    given = extractor.feature_size, extractor.nb_max_frames
    if given != taken:
        raise SourceError(
            f"preprocessor_config.json makes {given[1]} frames of {given[0]} bands of a sound, and the model takes "
            f"{taken[1]} of {taken[0]}",
            "Fetch the checkpoint again",
        )
    if not _is_within(extractor.sampling_rate, _MAX_RATE) or not _is_within(extractor.n_samples, _MAX_SAMPLES):
        raise SourceError(
            f"preprocessor_config.json asks for {extractor.n_samples} samples of a sound", "Fetch the checkpoint again"
        )
    extractor.dither = 0.0
    return extractor


def _is_within(number: Any, most: int) -> bool:
    return type(number) is int and 0 < number <= most


def _features(samples: NDArray[np.float32], extractor: Any) -> torch.Tensor:
    try:
        given = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    except Exception as fault:  # settings that are not what they should be fail anywhere in it
        raise SourceError(
            f"a sound cannot be prepared: {first_line(fault)}", "Look at preprocessor_config.json"
        ) from fault
    features: torch.Tensor = given["input_features"]
    return features


def _sound(data: bytes, extractor: Any) -> NDArray[np.float32]:
    """Samples in -1 to 1, one channel, at the rate that the model was trained on."""
    found, longest = read_wav(data), extractor.chunk_length
    if not found.num_samples:
        raise CorpusError("a sound is empty", "Leave it out")
    if found.rate > _MAX_RATE:
        raise CorpusError(f"a sound has {found.rate} samples a second", f"Convert it to {extractor.sampling_rate}")
    if found.seconds > longest:
        raise CorpusError(
            f"a sound of {found.seconds:.7g} s is longer than the {longest} s that the model hears",
            "Cut it, and its text",
        )
    common = math.gcd(found.rate, extractor.sampling_rate)
    samples = found.samples
    if found.rate != extractor.sampling_rate:
        samples = resample_poly(samples, extractor.sampling_rate // common, found.rate // common)
    return np.asarray(samples, np.float32)


def _image(data: bytes) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise CorpusError(f"an image of {image.width} x {image.height} is too large", "Make it smaller")
            if max(image.size) > _MAX_ASPECT * min(image.size):
                raise CorpusError(f"an image of {image.width} x {image.height} is a line", "Leave it out")
            if image.mode.startswith(_WIDE_MODES):
                raise CorpusError("an image has more than 8 bits a value, which would all be white", "Convert it")
            # As a camera was held.
            return ImageOps.exif_transpose(image).convert("RGB")
    except CorpusError:
        raise
    except Exception as fault:  # what is no image, or a broken one, fails anywhere in it
        raise CorpusError(
            f"an image cannot be read: {first_line(fault)}", f"Give one of {', '.join(_FORMATS)}"
        ) from None
