"""Sounds: whatever a WAV file holds comes out as the samples that its model hears, or is refused in one line."""

import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pico import edit_json
from sounds import extractor, header, heard, make_whisper, noise, sound, wav

from lorp.corpus.media import MAX_MEDIUM_BYTES
from lorp.corpus.pairs import Frame
from lorp.errors import CorpusError, SourceError
from lorp.media import check_media, frame_of, prepared

#: Samples that a file of single bytes holds exactly.
COARSE = np.round(np.sin(np.arange(4_000) / 20) * 100) / 128


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("listening"))


@pytest.fixture
def samples_of(listening: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The samples that an extractor is given for a file."""
    given_samples: list[NDArray[np.float32]] = []

    class Recorder:
        chunk_length, sampling_rate = 1, 16_000

        def __call__(self, samples: NDArray[np.float32], **_: object) -> dict[str, torch.Tensor]:
            given_samples.append(samples)
            return {"input_features": torch.zeros(1)}

    def read(data: bytes) -> NDArray[np.float32]:
        prepared(sound(data), listening)
        return given_samples.pop()

    monkeypatch.setattr("lorp.media._processor", lambda kind, folder: Recorder())
    return read


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_any_width_are_the_same(samples_of: Any, width: int) -> None:
    found = samples_of(wav(COARSE, width=width))
    assert found.dtype == np.float32
    assert np.array_equal(found, COARSE.astype(np.float32))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_full_scale_is_minus_one_to_one(samples_of: Any, width: int) -> None:
    low, high = samples_of(wav(np.array([-1.0, 1.0]), width=width))
    assert low == -1
    assert 1 - 2.0 ** (1 - 8 * width) - 1e-6 <= high <= 1


def test_channels_are_heard_together(samples_of: Any) -> None:
    left, right = COARSE, COARSE[::-1] / 2
    found = samples_of(wav(np.stack([left, right], axis=1), width=4))
    assert np.allclose(found, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_another_rate_becomes_the_model_s(samples_of: Any, rate: int) -> None:
    def tone(at: int) -> NDArray[np.float64]:
        times = np.arange(at // 2) / at
        return 0.5 * np.sin(2 * np.pi * 440 * times) + 0.3 * np.sin(2 * np.pi * 1700 * times + 1)

    found, expected = samples_of(wav(tone(rate), rate=rate)), tone(16_000)
    assert abs(len(found) - len(expected)) <= 1
    middle = slice(500, 7_500)
    assert np.abs(found[middle] - expected[middle]).max() < 5e-3


def test_what_a_model_s_rate_cannot_hold_is_not_folded_back(samples_of: Any) -> None:
    times = np.arange(24_000) / 48_000
    found = samples_of(wav(0.5 * np.sin(2 * np.pi * 15_000 * times), rate=48_000))
    assert np.abs(found[500:-500]).max() < 5e-3


def test_features_are_those_of_the_checkpoint_s_own_extractor(listening: Path) -> None:
    found = prepared(sound(wav(COARSE)), listening)
    expected = extractor()(COARSE.astype(np.float32), sampling_rate=16_000, return_tensors="pt")
    assert list(found) == ["input_features"]
    assert found["input_features"].shape == (1, 8, 40)
    assert torch.equal(found["input_features"], expected["input_features"])


@pytest.mark.parametrize("num_samples", [1, 199, 16_000])
def test_a_sound_may_be_as_short_as_a_sample_and_as_long_as_the_model_hears(listening: Path, num_samples: int) -> None:
    features = prepared(sound(wav(noise(0, num_samples))), listening)["input_features"]
    assert features.isfinite().all()


WHOLE = wav(COARSE)
NO_WAV = "a sound is no WAV file of whole numbers: "


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", NO_WAV + "it does not begin like one. Write it as WAV"),
        (b"RIFF", NO_WAV + "it does not begin"),
        (b"OggS" + bytes(100), NO_WAV + "it does not begin"),
        (WHOLE[:12], NO_WAV + "its format or its samples are missing"),
        (WHOLE[:36], NO_WAV + "its format or its samples are missing"),
        (WHOLE[:12] + WHOLE[36:], NO_WAV + "its format or its samples are missing"),
        (WHOLE[:30], "a sound is cut off"),
        (WHOLE[:44], "a sound is cut off"),
        (WHOLE[:-1], "a sound is cut off"),
        (header(0xFFFFFFFF) + bytes(4_000), "a sound is cut off"),
        (header(4_000, kind=3, bits=32) + bytes(4_000), NO_WAV + "its samples have 32 bits and are of kind 3"),
        (header(4_000, kind=6, bits=8) + bytes(4_000), "of kind 6"),
        (header(4_000, kind=0xFFFE) + bytes(4_000), "of kind 65534"),
        (header(4_000, bits=64) + bytes(4_000), "have 64 bits"),
        (header(4_000, bits=40) + bytes(4_000), "have 40 bits"),
        (header(4_000, bits=0) + bytes(4_000), "have 0 bits"),
        (header(4_000, channels=0) + bytes(4_000), "does not fit them"),
        (header(4_000, channels=3) + bytes(4_000), "does not fit them"),
        (header(4_001) + bytes(4_001), "does not fit them"),
        (header(4_000, rate=0) + bytes(4_000), "does not fit them"),
        (header(4_000, rate=4_294_967_291) + bytes(4_000), "a sound has 4294967291 samples a second"),
        (wav(COARSE[:0]), "a sound is empty"),
        (wav(noise(0, 16_001)), "a sound of 1.000063 s is longer than the 1 s that the model hears"),
        (wav(noise(0, 16_000), rate=8_000), "a sound of 2 s is longer than the 1 s that the model hears"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(listening: Path, data: bytes, said: str) -> None:
    with pytest.raises(CorpusError, match=said) as refused:
        prepared(sound(data), listening)
    assert "\n" not in str(refused.value)


@given(data=st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_does_more_than_be_refused(listening: Path, data: st.DataObject) -> None:
    spoilt = bytearray(WHOLE[: data.draw(st.sampled_from([60, 400, len(WHOLE)]))])
    for place, value in data.draw(st.dictionaries(st.integers(0, 59), st.integers(0, 255), max_size=6)).items():
        spoilt[place] = value
    with suppress(CorpusError):
        assert prepared(sound(bytes(spoilt)), listening)["input_features"].isfinite().all()


def test_parts_that_are_not_samples_are_passed_over(listening: Path) -> None:
    odd = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    both = [prepared(sound(data), listening)["input_features"] for data in (WHOLE, WHOLE[:36] + odd + WHOLE[36:] + odd)]
    assert torch.equal(*both)


def test_a_format_may_be_spelled_out(samples_of: Any) -> None:
    plain = wav(COARSE, width=3)
    tail = bytes.fromhex("0100000000001000800000aa00389b71")
    form = struct.pack("<H", 0xFFFE) + plain[22:36] + struct.pack("<HHI", 22, 24, 4) + tail
    spelled = plain[:16] + struct.pack("<I", len(form)) + form + plain[36:]
    assert np.array_equal(samples_of(spelled), samples_of(plain))
    with pytest.raises(CorpusError, match="of kind 3"):
        samples_of(spelled.replace(tail, b"\x03" + tail[1:]))


def test_nothing_is_made_of_chance(tmp_path: Path) -> None:
    folder = make_whisper(tmp_path / "dithering", dither=0.5)
    once, again = (prepared(sound(WHOLE), folder)["input_features"] for _ in range(2))
    assert torch.equal(once, again)


def test_settings_may_lie_where_processors_are_saved_whole(listening: Path, tmp_path: Path) -> None:
    folder = make_whisper(tmp_path / "whole")
    own = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "WhisperProcessor", "feature_extractor": own})
    )
    found = [prepared(sound(WHOLE), each)["input_features"] for each in (listening, folder)]
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"feature_extractor_type": "NoSuchExtractor"}, "cannot be loaded"),
        (
            {"feature_extractor_type": "Wav2Vec2FeatureExtractor"},
            "is for Wav2Vec2FeatureExtractor, and not for Whisper",
        ),
        ({"hop_length": 0}, "cannot be loaded"),
        ({"chunk_length": "one"}, "cannot be loaded"),
        ({"chunk_length": 30}, "makes 1200 frames of 8 bands of a sound, and the model takes 40 of 8"),
        ({"feature_size": 80}, "makes 40 frames of 80 bands of a sound, and the model takes 40 of 8"),
        ({"chunk_length": 10**9, "hop_length": 4 * 10**11}, "asks for 16000000000000 samples"),
        ({"sampling_rate": 16_000.0}, "asks for 16000.0 samples"),
        ({"n_fft": -5}, "cannot be"),
        ({"n_fft": 10**6}, "cannot be"),
    ],
)
def test_settings_that_prepare_nothing_for_the_model_are_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    folder = make_whisper(tmp_path / "odd")
    edit_json(folder / "preprocessor_config.json", **changes)
    with pytest.raises(SourceError, match=said) as refused:
        prepared(sound(WHOLE), folder)
    assert "\n" not in str(refused.value)


def test_a_bad_sound_is_told_with_its_document(listening: Path) -> None:
    good, bad = heard([5, 6], seed=1), heard([5, 6], seed=2)
    check_media([good], listening)
    object.__setattr__(bad, "medium", sound(b"no sound"))
    with pytest.raises(CorpusError, match=r"^rows/2: a sound is no WAV file"):
        check_media([good, bad], listening)


def test_the_token_that_a_decoder_starts_from_is_no_part_of_a_text(listening: Path) -> None:
    frame = frame_of(listening, "sound", None)
    assert frame == Frame(start=3, said=True)
    assert frame.around((3, 7, 8, 2)) == ((), (7, 8, 2))
    assert frame.around((7, 3, 8)) == ((), (7, 3, 8))
    assert frame.around((3,)) == ((), ())


def test_half_an_hour_fits() -> None:
    assert MAX_MEDIUM_BYTES >= 30 * 60 * 16_000 * 2
