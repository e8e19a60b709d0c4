"""A pico Whisper with what prepares its sounds, and WAV files made by hand."""

import base64
import io
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
from families import Case, make_case
from numpy.typing import NDArray

from lorp.corpus import Window
from lorp.corpus.media import Medium

#: Of 20 positions in its encoder: 40 frames of 400 samples, a second.
SETTINGS = {
    "vocab_size": 64, "d_model": 16, "encoder_layers": 4, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 24, "decoder_ffn_dim": 20, "max_source_positions": 20,
    "max_target_positions": 32, "num_mel_bins": 8, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1,
    "decoder_start_token_id": 3, "begin_suppress_tokens": None,
}  # fmt: skip


def extractor(**changes: Any) -> Any:
    """What prepares its sounds."""
    from transformers import WhisperFeatureExtractor

    settings = {"feature_size": 8, "chunk_length": 1, "hop_length": 400, **changes}
    return WhisperFeatureExtractor(**settings)  # type: ignore[no-untyped-call]


def make_whisper(folder: Path, **changes: Any) -> Path:
    """Writes one with random weights; changes are of what prepares sounds."""
    made = make_case(Case(family="Whisper", stack="decoder", layout="", settings=SETTINGS), folder)
    extractor(**changes).save_pretrained(made)
    return made


def wav(samples: NDArray[Any], rate: int = 16_000, width: int = 2) -> bytes:
    """A WAV file of samples in -1 to 1, S or S x channels, rounded to whole numbers."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    full = 2 ** (8 * width - 1)
    whole = np.clip(np.round(samples.reshape(-1).astype(np.float64) * full), -full, full - 1).astype(np.int64)
    low_bytes = (whole + (128 if width == 1 else 0)).astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(low_bytes.tobytes())
    return sink.getvalue()


def header(num_bytes: int, kind: int = 1, channels: int = 1, rate: int = 16_000, bits: int = 16) -> bytes:
    """The beginning of a WAV file, whatever it says."""
    frame = channels * ((bits + 7) // 8)
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
    size = (num_bytes + 36) & 0xFFFFFFFF
    return (
        b"RIFF"
        + struct.pack("<I", size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", num_bytes)
    )


def sound(data: bytes) -> Medium:
    """It as a row gives it."""
    return Medium(kind="sound", base64=base64.b64encode(data).decode())


def noise(seed: int, num_samples: int = 8_000) -> NDArray[np.float64]:
    """Something to hear."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, num_samples)


def heard(tokens: list[int], seed: int = 0) -> Window:
    """A window of a sound and its text."""
    name = f"rows/{seed}"
    medium = sound(wav(noise(seed)))
    return Window(id=f"{name}@0", document=name, text_sha256=str(seed), tokens=tuple(tokens), medium=medium)
