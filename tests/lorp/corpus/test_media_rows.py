"""Rows of a sound and its text: read from files beside them or from their own bytes, and from nowhere else."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Audio, Features, Value
from hub import COMMIT
from sounds import noise, sound, wav

from lorp.corpus.address import RowFormat, as_pairs, pair_kind, parse_hub, parse_local
from lorp.corpus.documents import Document, Window
from lorp.corpus.hub import HubRows, hub_documents, read_rows
from lorp.corpus.local import read_local
from lorp.corpus.media import Medium, medium_of
from lorp.corpus.pairs import Frame, check_pairs, pair_windows
from lorp.corpus.split import calibration_and_evaluation
from lorp.errors import CorpusError
from lorp.spec import CalibrationSpec, EvaluationSpec
from lorp.values import decode, encode

ONE, TWO = wav(noise(1, 400)), wav(noise(2, 400))
FORM = RowFormat(column="text", source="audio", medium="sound")
PLACES = "hf://datasets/a/b@main"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def jsonl(folder: Path, *values: Any) -> Path:
    """Rows with these fields for sounds, and two files beside them."""
    (folder / "wav").mkdir(parents=True)
    (folder / "wav/1.wav").write_bytes(ONE)
    (folder / "wav/2.wav").write_bytes(TWO)
    rows = [{"audio": value, "text": f"text {number}"} for number, value in enumerate(values)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "rows.jsonl"


def heard(path: Path, columns: str = "audio:text,sound") -> list[tuple[bytes | None, str]]:
    documents = read_local(f"{path}#{columns}")
    return [(document.medium.data if document.medium else None, document.text) for document in documents]


def test_json_rows_name_files_or_hold_bytes(tmp_path: Path) -> None:
    given = ("wav/1.wav", {"path": "wav/2.wav"}, {"bytes": encoded(TWO)}, {"bytes": encoded(ONE), "path": "gone"})
    path = jsonl(tmp_path / "rows", *given, {"bytes": None, "path": "wav/../wav/1.wav"}, None, {"path": None})
    expected = [(ONE, 0), (TWO, 1), (TWO, 2), (ONE, 3), (ONE, 4)]
    assert heard(path) == [(data, f"text {number}") for data, number in expected]
    assert heard(path.parent) == heard(path)


def test_the_same_sound_with_the_same_text_counts_once(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows", "wav/1.wav", "wav/1.wav", "wav/2.wav")
    path.write_text(path.read_text().replace("text 1", "text 0").replace("text 2", "text 0"))
    assert heard(path) == [(ONE, "text 0"), (TWO, "text 0")]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), [{"bytes": ONE, "path": "x"}, {"path": "2.wav"}]),
        (pa.binary(), [ONE, TWO]),
        (pa.large_binary(), [ONE, TWO]),
        (pa.string(), ["1.wav", "2.wav"]),
    ],
)
def test_parquet_rows_hold_bytes_or_name_files(tmp_path: Path, kind: pa.DataType, values: list[Any]) -> None:
    (tmp_path / "1.wav").write_bytes(ONE)
    (tmp_path / "2.wav").write_bytes(TWO)
    table = pa.table({"audio": pa.array([*values, None], kind), "text": ["a", "b", "c"], "more": [1, 2, 3]})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert heard(tmp_path / "rows.parquet") == [(ONE, "a"), (TWO, "b")]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("../secret.wav", "line 1 of .* names a file outside"),
        ("wav/../../secret.wav", "names a file outside"),
        ("/etc/passwd", "names a file outside"),
        ({"path": "/etc/passwd"}, "names a file outside"),
        ("link.wav", "names a file outside"),
        ("linked/secret.wav", "names a file outside"),
        ("wav/3.wav", "names 'wav/3.wav', which is no file in"),
        ("wav", "which is no file in"),
        ("", "which is no file in"),
        ("pipe", "which is no file in"),
        ("wav/1.wav\0", "names a file that cannot be read"),
        ("x" * 5_000, "names a file that cannot be read"),
        ("\ud800", "names a file that cannot be read"),
        ("empty.wav", "the sound of line 1 of .* has 0 bytes. Give 1 to"),
        ({"bytes": ""}, "has 0 bytes"),
        ({"bytes": "no base64!"}, "the bytes of line 1 of .* are no base64"),
        ({"bytes": "é"}, "the bytes of line 1 of .* are no base64"),
        ({"bytes": [82, 73]}, "is no sound but list"),
        ({"array": [0.0], "sampling_rate": 16_000}, "has neither bytes nor the path of a sound"),
        (7, "is no sound but int"),
        (["wav/1.wav"], "is no sound but list"),
        (True, "is no sound but bool"),
    ],
)
def test_what_a_row_may_not_name_is_refused_in_one_line(tmp_path: Path, value: Any, said: str) -> None:
    (tmp_path / "secret.wav").write_bytes(ONE)
    path = jsonl(tmp_path / "rows", value)
    (path.parent / "link.wav").symlink_to(tmp_path / "secret.wav")
    (path.parent / "linked").symlink_to(tmp_path)
    (path.parent / "empty.wav").touch()
    os.mkfifo(path.parent / "pipe")
    with pytest.raises(CorpusError, match=said) as refused:
        heard(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1_000


def test_a_link_that_stays_inside_is_followed(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows", "link.wav")
    (path.parent / "link.wav").symlink_to("wav/2.wav")
    assert heard(path) == [(TWO, "text 0")]


def test_a_sound_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorp.corpus.media.MAX_MEDIUM_BYTES", len(ONE) - 1)
    with pytest.raises(CorpusError, match=rf"line 1 of .* names a file of over {len(ONE) - 1} bytes"):
        heard(jsonl(tmp_path / "named", "wav/1.wav"))
    with pytest.raises(CorpusError, match=rf"the sound of line 1 of .* has {len(ONE)} bytes"):
        heard(jsonl(tmp_path / "held", {"bytes": encoded(ONE)}))


def test_sounds_of_more_than_a_corpus_may_have_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorp.corpus.local.MAX_CHARACTERS", len(encoded(ONE)) + 100)
    with pytest.raises(CorpusError, match="larger than 1 GiB"):
        heard(jsonl(tmp_path / "rows", "wav/1.wav", "wav/2.wav"))


@pytest.mark.parametrize(
    ("columns", "said"),
    [("audio:words,sound", "no field 'words'"), ("sound:text,sound", "no field 'sound'; it has audio, text")],
)
def test_a_missing_column_of_sounds_is_named(tmp_path: Path, columns: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        heard(jsonl(tmp_path / "rows", "wav/1.wav"), columns)


def test_an_address_says_that_rows_are_sounds() -> None:
    assert parse_local("rows.jsonl#audio:text,sound").rows == FORM
    assert parse_local("rows.parquet#:,image").rows == RowFormat(column="target", source="source", medium="image")
    assert parse_hub(f"{PLACES}/en:test#audio:text,sound").rows == FORM
    assert as_pairs("rows.jsonl#audio:text,sound") == "rows.jsonl#audio:text,sound"
    assert as_pairs("a#b/rows.jsonl#audio:text,sound") == "a#b/rows.jsonl#audio:text,sound"
    for address in ("rows.jsonl#audio,sound", "rows.jsonl#,sound", f"{PLACES}#audio,sound"):
        with pytest.raises(CorpusError, match=r"a pair has two\. Write #SOURCE:TARGET"):
            as_pairs(address)
    with pytest.raises(CorpusError, match=r"names one column, and a pair has two\. Write #SOURCE:TARGET,sound"):
        parse_local("rows.jsonl#audio,sound")
    with pytest.raises(CorpusError, match="cannot be joined"):
        parse_local("rows.jsonl#audio:text,sound,joined")


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("rows.jsonl#audio:text,sound", "sound"),
        ("nowhere/rows.jsonl#audio:text,sound", "sound"),
        ("nowhere#audio:text,sound", "sound"),
        ("a#b/nowhere#audio:text,sound", "sound"),
        ("rows.parquet#:,image", "image"),
        ("rows.jsonl#data/audio:text,sound", "sound"),
        ("rows.jsonl#de:en", "text"),
        ("rows.jsonl#:", "text"),
        (f"{PLACES}:test#audio:text,sound", "sound"),
        (f"{PLACES}:test#de:en", "text"),
        (f"{PLACES}:test#text", None),
        (f"{PLACES}:test", None),
        ("rows.jsonl#text", None),
        ("rows.jsonl#text,joined", None),
        ("rows.jsonl", None),
        ("a#b:c/notes.txt", None),
        ("pydoc", None),
        ("c4", None),
    ],
)
def test_an_address_alone_tells_what_texts_are_made_from(address: str, kind: str | None) -> None:
    assert pair_kind(address) == kind


def repository(folder: Path) -> str:
    """A dataset as the hub keeps sounds: bytes in Parquet, and a schema that asks for them to be decoded."""
    features = Features({"audio": Audio(sampling_rate=16_000), "text": Value("string"), "n": Value("int64")})
    rows = [{"bytes": ONE, "path": "1.wav"}, {"bytes": b"no sound", "path": "/etc/passwd"}, None]
    columns = {"audio": rows, "text": ["a", "b", "c"], "n": [1, 2, 3]}
    folder.mkdir()
    pq.write_table(pa.table(columns, schema=features.arrow_schema), folder / "train.parquet")
    return str(folder)


def test_sounds_of_a_dataset_come_as_their_files_hold_them(tmp_path: Path) -> None:
    read = read_rows(parse_hub(f"{PLACES}#audio:text,sound"), COMMIT, 10**6, repository(tmp_path / "n"))
    assert (read.source_column, read.column, read.sources) == ("audio", "text", ())
    assert read.media == (sound(ONE), sound(b"no sound"), None)
    assert read.texts == ("a", "b", "")
    assert decode(HubRows, encode(read)) == read
    documents = hub_documents(read, False, 8)
    assert [(each.id, each.text, each.medium) for each in documents] == [
        ("a/b/1", "a", sound(ONE)), ("a/b/2", "b", sound(b"no sound")),
    ]  # fmt: skip


def test_a_dataset_that_names_files_reads_none(tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n/1.wav").write_bytes(ONE)
    (tmp_path / "n/train.jsonl").write_text(json.dumps({"audio": str(tmp_path / "n/1.wav"), "text": "a"}) + "\n")
    with pytest.raises(CorpusError, match="row 1 of a/b names a file, and holds none"):
        read_rows(parse_hub(f"{PLACES}#audio:text,sound"), COMMIT, 10**6, str(tmp_path / "n"))


def test_what_is_no_sound_in_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as refused:
        read_rows(parse_hub(f"{PLACES}#n:text,sound"), COMMIT, 10**6, repository(tmp_path / "n"))
    assert "\n" not in str(refused.value)


def test_no_more_of_a_dataset_is_held_than_a_gigabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lorp.corpus.hub._MOST_OF_MEDIA", len(encoded(ONE)))
    read = read_rows(parse_hub(f"{PLACES}#audio:text,sound"), COMMIT, 10**6, repository(tmp_path / "n"))
    assert read.texts == ("a",)


def pair(number: int, data: bytes, text: str) -> Document:
    return Document(id=f"rows/{number}", text=text, medium=sound(data))


def test_windows_of_sounds_have_the_text_without_what_a_decoder_starts_from() -> None:
    documents = [pair(1, ONE, "abcdef"), pair(2, TWO, "")]
    tokens = [9, *range(5)]
    windows = pair_windows([documents], lambda text: tokens[: len(text)], 2, 4, 0, 1, Frame(start=9, said=True))
    [window] = windows.windows
    assert (window.tokens, window.num_given, window.source) == ((0, 1, 2), 0, ())
    assert (window.medium, window.text_sha256) == (sound(ONE), documents[0].sha256)
    assert decode(Window, encode(window)) == window
    assert (window.num_states("decoder"), window.num_states("encoder")) == (3, None)


def test_a_text_that_holds_a_token_which_stands_for_an_image_is_refused() -> None:
    image = Document(id="rows/3", text="abc", medium=Medium(kind="image", base64=encoded(ONE)))
    frame = Frame(start=9, image=(7, 8))

    def cut(tokens: list[int]) -> tuple[int, ...]:
        return pair_windows([[image]], lambda text: tokens[: 2 * len(text)], 1, 6, 0, frame=frame).windows[0].tokens

    assert cut([9, 1, 2]) == (9, 7, 8, 1, 2)
    for tokens in ([9, 1, 7], [8, 1]):
        with pytest.raises(CorpusError, match=r"the text of rows/3 holds a token that stands for an image\. Leave it"):
            cut(tokens)


def test_texts_of_one_sound_are_one_document() -> None:
    documents = [pair(1, ONE, "a"), pair(2, TWO, "a"), pair(3, ONE, "b"), pair(4, ONE, "c")]
    cut = pair_windows([documents], lambda text: [ord(each) for each in text], 4, 4, 0).windows
    assert {window.id: window.document for window in cut} == {
        "rows/1@0": "rows/1", "rows/2@0": "rows/2", "rows/3@0": "rows/1", "rows/4@0": "rows/1",
    }  # fmt: skip


def test_a_sound_s_kind_bytes_and_text_make_its_digest() -> None:
    image = Document(id="a", text="t", medium=Medium(kind="image", base64=encoded(ONE)))
    documents = [pair(1, ONE, "t"), pair(1, TWO, "t"), pair(1, ONE, "u"), image, Document(id="a", text="t")]
    assert len({document.sha256 for document in documents}) == 5
    assert pair(1, ONE, "t").sha256 == pair(2, ONE, "t").sha256


def test_a_file_is_digested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = pair(1, ONE, "t")
    once = one.sha256
    monkeypatch.setattr("lorp.corpus.media.digest_bytes", None)
    assert one.sha256 == once
    assert (one, encode(one)) == (pair(1, ONE, "t"), encode(pair(1, ONE, "t")))


@pytest.mark.parametrize(
    ("document", "wanted", "said"),
    [
        (pair(1, ONE, "t"), "text", r"rows/1 is a pair of another kind \(sound\): an encoder-decoder makes it"),
        (pair(1, ONE, "t"), "image", r"another kind \(sound\): the model makes it from an image"),
        (pair(1, ONE, "t"), None, "rows/1 is a pair, and text by itself is wanted"),
        (Document(id="d", text="t"), "sound", "d is text by itself, and the model makes it from a sound"),
        (Document(id="d", text="t", source="s"), "sound", r"another kind \(text\): the model makes it from a sound"),
    ],
)
def test_a_model_is_given_pairs_of_its_own_kind(document: Document, wanted: Any, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        check_pairs([document], wanted)


def parts(rows: Path) -> list[list[str]]:
    address = f"{rows}#audio:text,sound"
    both = calibration_and_evaluation(CalibrationSpec(corpora=(address,)), EvaluationSpec(corpora=(address,)))
    return [[document.medium.sha256 for document in part if document.medium] for part in both]


def test_a_sound_with_two_texts_is_in_one_part_only(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows", *["wav/1.wav", "wav/2.wav"] * 10)
    ours, theirs = parts(path)
    assert len(ours) == 10
    assert not set(ours) & set(theirs)


def test_a_text_that_two_voices_say_is_in_one_part_only(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows", *["wav/1.wav"] * 20)
    said = "One of the sentences that many people were asked to read aloud, each in a voice of their own. "
    rows = [{"audio": {"bytes": encoded(wav(noise(n, 99)))}, "text": said * (n % 2) + "x" * n} for n in range(1, 21)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    address = f"{path}#audio:text,sound"
    ours, theirs = calibration_and_evaluation(CalibrationSpec(corpora=(address,)), EvaluationSpec(corpora=(address,)))
    assert any(said in document.text for document in ours)
    assert not any(said in document.text for document in theirs)


def test_the_same_sound_in_two_corpora_is_refused(tmp_path: Path) -> None:
    one, other = (jsonl(tmp_path / name, "wav/1.wav") for name in ("one", "other"))
    other.write_text(other.read_text().replace("text 0", "text 9"))
    calibration, evaluation = (f"{path}#audio:text,sound" for path in (one, other))
    with pytest.raises(CorpusError, match="share text: 100% of evaluation document rows/1"):
        calibration_and_evaluation(CalibrationSpec(corpora=(calibration,)), EvaluationSpec(corpora=(evaluation,)))


def test_nothing_is_no_sound_and_bytes_are_taken_as_they_are(tmp_path: Path) -> None:
    assert medium_of("sound", None, tmp_path, "row 1") is None
    assert medium_of("sound", b"anything", None, "row 1") == sound(b"anything")
