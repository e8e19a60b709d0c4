"""Captures survive Parquet exactly, and damaged Parquet is noticed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import BufferReader

from lorp.capture import WindowCapture
from lorp.corpus import Window
from lorp.errors import IntegrityError
from lorp.parquet import decode_windows, encode_states, encode_windows, read_table

L, D, K = 5, 16, 3


def captures(num_windows: int = 4) -> list[WindowCapture]:
    rng = np.random.default_rng(0)
    return [
        WindowCapture(
            window=Window(id=f"d{i}@0", document=f"d{i}", text_sha256=f"{i:064x}", tokens=tuple(range(7 + i))),
            num_tokens=7 + i,
            cosine_sums_LL=rng.normal(size=(L, L)),
            positions_K=np.arange(K, dtype=np.int32),
            units_KLD=rng.normal(size=(K, L, D)).astype(np.float16),
            norms_KL=rng.normal(size=(K, L)).astype(np.float32),
        )
        for i in range(num_windows)
    ]


def test_windows_come_back_exactly() -> None:
    sums = decode_windows(encode_windows(captures(), {}))
    assert sums.ids == ("d0@0", "d1@0", "d2@0", "d3@0")
    assert sums.documents == ("d0", "d1", "d2", "d3")
    assert sums.num_tokens.tolist() == [7, 8, 9, 10]
    np.testing.assert_array_equal(sums.cosine_sums_WLL, [capture.cosine_sums_LL for capture in captures()])


def test_states_come_back_exactly_a_row_a_token() -> None:
    table = read_table(encode_states(captures(), {}))
    assert table.num_rows == 4 * K
    assert table["window"].to_pylist()[:4] == ["d0@0", "d0@0", "d0@0", "d1@0"]
    units = table["units"].combine_chunks().to_numpy_ndarray()
    norms = table["norms"].combine_chunks().to_numpy_ndarray()
    assert (units.dtype, norms.dtype) == (np.float16, np.float32)
    np.testing.assert_array_equal(units, np.concatenate([capture.units_KLD for capture in captures()]))
    np.testing.assert_array_equal(norms, np.concatenate([capture.norms_KL for capture in captures()]))


def test_metadata_and_encoding_are_in_the_file() -> None:
    data = encode_windows(captures(), {"lorp.checkpoint": "abc"})
    metadata = pq.read_metadata(BufferReader(data))
    assert metadata.schema.to_arrow_schema().metadata[b"lorp.checkpoint"] == b"abc"
    columns = [metadata.row_group(0).column(index) for index in range(metadata.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    sums = next(column for column in columns if column.path_in_schema.startswith("cosine_sums"))
    assert "BYTE_STREAM_SPLIT" in sums.encodings


def test_equal_captures_give_equal_bytes() -> None:
    assert encode_windows(captures(), {"a": "b"}) == encode_windows(captures(), {"a": "b"})


def test_a_flipped_bit_anywhere_in_the_data_is_noticed() -> None:
    data = encode_windows(captures(), {})
    column = pq.read_metadata(BufferReader(data)).row_group(0).column(4)
    first, size = column.data_page_offset, column.total_compressed_size
    for position in range(first, first + size):
        spoilt = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        try:
            sums = decode_windows(spoilt)
        except IntegrityError:
            continue
        np.testing.assert_array_equal(sums.cosine_sums_WLL, [capture.cosine_sums_LL for capture in captures()])


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all"])
def test_refuses_what_is_no_parquet(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_windows(data)


def test_refuses_another_table() -> None:
    with pytest.raises(IntegrityError, match="no such column"):
        decode_windows(encode_states(captures(), {}))


def test_refuses_a_small_file_that_takes_very_much_before_it_takes_it() -> None:
    num_windows = 1 << 12
    of_one_value = pa.table(
        {
            "id": [f"d{number}" for number in range(num_windows)],
            "document": ["d"] * num_windows,
            "num_tokens": pa.array([1] * num_windows, pa.int64()),
            "cosine_sums": pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((num_windows, 40, 40))),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(of_one_value.replace_schema_metadata({"lorp.schema": "1"}), sink, compression="zstd")
    before = pa.total_allocated_bytes()
    data = sink.getvalue().to_pybytes()
    assert len(data) < 100_000
    with pytest.raises(IntegrityError, match=f"its {len(data)} bytes hold {num_windows} rows, 5[0-9]+ bytes"):
        decode_windows(data)
    assert pa.total_allocated_bytes() == before


def test_takes_many_windows_that_are_alike() -> None:
    alike = [replace(capture, cosine_sums_LL=np.ones((L, L))) for capture in captures(2_000)]
    assert len(decode_windows(encode_windows(alike, {})).ids) == 2_000


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"num_tokens": 1 << 62}, "none of cosines"),
        ({"num_tokens": 0}, "no tokens"),
        ({"cosine_sums_LL": np.full((L, L), 7.1)}, "none of cosines"),
        ({"cosine_sums_LL": np.full((L, L), np.nan)}, "none of cosines"),
        ({"num_image_tokens": 8, "image_sums_LL": np.zeros((L, L))}, "more tokens of images"),
        ({"num_image_tokens": 0, "image_sums_LL": np.ones((L, L))}, "none of cosines"),
    ],
    ids=["tokens without number", "no token", "over one a token", "no number", "images", "no image"],
)
def test_refuses_sums_that_no_tokens_have(change: dict[str, Any], fault: str) -> None:
    first, *others = [replace(each, num_image_tokens=1, image_sums_LL=np.ones((L, L))) for each in captures()]
    with pytest.raises(IntegrityError, match=fault):
        decode_windows(encode_windows([replace(first, **change), *others], {}))
    decode_windows(encode_windows([replace(first, cosine_sums_LL=np.full((L, L), 7.01)), *others], {}))
