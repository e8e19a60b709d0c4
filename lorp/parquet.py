"""Captures <-> Parquet bytes: two tables, versioned, with page checksums that are verified on reading.

Table `windows`, a row a window: id, document, text_sha256, num_tokens, cosine_sums (L x L float64), and of a model with
experts expert_loads (N x E int32). Where images were read with text also num_image_tokens and image_cosine_sums, which
are those of the images' tokens alone.
Table `states`, a row a sampled token: window, position, units (L x D float16), norms (L float32).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lorp.capture import WindowCapture
from lorp.errors import IntegrityError

#: Of a stack that reads images with text.
TokenKind = Literal["image", "text"]

#: Numbers of tokens by window, and their sums of cosines.
_Pairs = Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]

SCHEMA_VERSION = "1"
_VERSION_KEY = "lorp.schema"
#: How pyarrow and numpy say that a column is not there, or is of another kind.
_NO_COLUMN = (KeyError, AttributeError, TypeError, ValueError, pa.ArrowException)
#: Far more than a shard has: what says that it has more is none.
_MOST_ROWS, _MOST_BYTES = 1 << 20, 1 << 34
#: Of a window.
_MOST_TOKENS = 1 << 31
#: By how much a sum of cosines may be over the number of its tokens, as a share: unit vectors are in float16.
_ROUNDING = 1e-2
#: Captures hardly compress: nothing that lorp writes comes near to so many bytes in memory for one of the file.
_MOST_FOR_A_BYTE, _ALWAYS_BYTES = 64, 1 << 20
#: Of a value, by its type in the file; texts have their length before them, others take a byte or more.
_VALUE_BYTES = {"INT32": 4, "INT64": 8, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4, "FIXED_LEN_BYTE_ARRAY": 2}


@dataclass(frozen=True, kw_only=True)
class WindowSums:
    """What the table `windows` says: ids, documents, tokens (all of length W) and cosine sums (W, L, L) float64.

    The same of the images' tokens alone, where there are images.
    """

    ids: tuple[str, ...]
    documents: tuple[str, ...]
    num_tokens: NDArray[np.int64]
    cosine_sums_WLL: NDArray[np.float64]
    num_image_tokens: NDArray[np.int64] | None = None
    image_sums_WLL: NDArray[np.float64] | None = None

    @property
    def by_kind(self) -> dict[TokenKind, "WindowSums"]:
        """The same of the images' tokens, and of the text's; nothing where there are no images."""
        if self.num_image_tokens is None or self.image_sums_WLL is None:
            return {}
        image, text = self.num_image_tokens, self.num_tokens - self.num_image_tokens
        of_text_WLL = self.cosine_sums_WLL - self.image_sums_WLL
        return {
            "image": self._of(image, self.image_sums_WLL),
            "text": self._of(text, of_text_WLL),
        }

    def _of(self, num_tokens: NDArray[np.int64], sums_WLL: NDArray[np.float64]) -> "WindowSums":
        return WindowSums(ids=self.ids, documents=self.documents, num_tokens=num_tokens, cosine_sums_WLL=sums_WLL)

    def at(self, positions: Sequence[int]) -> "WindowSums":
        """Some of the windows."""
        return WindowSums(
            ids=tuple(self.ids[position] for position in positions),
            documents=tuple(self.documents[position] for position in positions),
            num_tokens=self.num_tokens[positions],
            cosine_sums_WLL=self.cosine_sums_WLL[positions],
            num_image_tokens=None if self.num_image_tokens is None else self.num_image_tokens[positions],
            image_sums_WLL=None if self.image_sums_WLL is None else self.image_sums_WLL[positions],
        )


@dataclass(frozen=True, kw_only=True)
class SampledStates:
    """What the table `states` says of R rows: window ids, positions (R) int32, unit vectors (R, L, D) float16."""

    windows: tuple[str, ...]
    positions_R: NDArray[np.int32]
    units_RLD: NDArray[np.float16]


def joined_windows(shards: Sequence[WindowSums]) -> WindowSums:
    """The windows of several tables as one."""
    return WindowSums(
        ids=tuple(name for shard in shards for name in shard.ids),
        documents=tuple(document for shard in shards for document in shard.documents),
        num_tokens=np.concatenate([shard.num_tokens for shard in shards]),
        cosine_sums_WLL=np.concatenate([shard.cosine_sums_WLL for shard in shards]),
        num_image_tokens=_joined([shard.num_image_tokens for shard in shards]),
        image_sums_WLL=_joined([shard.image_sums_WLL for shard in shards]),
    )


def _joined(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """All of them; None unless each is there."""
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if len(there) == len(parts) else None


def encode_windows(captures: Sequence[WindowCapture], metadata: Mapping[str, str]) -> bytes:
    """The table `windows` as Parquet bytes; `metadata` (digests, versions) goes into its schema."""
    loads = [capture.expert_loads_NE for capture in captures if capture.expert_loads_NE is not None]
    images = [capture.image_sums_LL for capture in captures if capture.image_sums_LL is not None]
    num_image = pa.array([capture.num_image_tokens for capture in captures], pa.int64())
    table = pa.table(
        {
            "id": [capture.window.id for capture in captures],
            "document": [capture.window.document for capture in captures],
            "text_sha256": [capture.window.text_sha256 for capture in captures],
            "num_tokens": pa.array([capture.num_tokens for capture in captures], pa.int64()),
            "cosine_sums": _tensor_column(np.stack([capture.cosine_sums_LL for capture in captures])),
            **({"expert_loads": _tensor_column(np.stack(loads))} if loads else {}),
            **(
                {"num_image_tokens": num_image, "image_cosine_sums": _tensor_column(np.stack(images))} if images else {}
            ),
        }
    )
    return _write(table, metadata, ["cosine_sums.list.element"])


def encode_states(captures: Sequence[WindowCapture], metadata: Mapping[str, str]) -> bytes:
    """The table `states` as Parquet bytes; `metadata` (digests, versions) goes into its schema."""
    table = pa.table(
        {
            "window": [capture.window.id for capture in captures for _ in capture.positions_K],
            "position": pa.array(np.concatenate([capture.positions_K for capture in captures])),
            "units": _tensor_column(np.concatenate([capture.units_KLD for capture in captures])),
            "norms": _tensor_column(np.concatenate([capture.norms_KL for capture in captures])),
        }
    )
    return _write(table, metadata, ["units.list.element", "norms.list.element"])


def decode_windows(data: bytes) -> WindowSums:
    """What `encode_windows` wrote.

    Raises:
        IntegrityError: Not that table, or a page fails its checksum.
    """
    table = read_table(data)
    images = "image_cosine_sums" in table.column_names
    try:
        found = WindowSums(
            ids=tuple(table["id"].to_pylist()),
            documents=tuple(table["document"].to_pylist()),
            num_tokens=table["num_tokens"].to_numpy(),
            cosine_sums_WLL=table["cosine_sums"].combine_chunks().to_numpy_ndarray(),
            num_image_tokens=table["num_image_tokens"].to_numpy() if images else None,
            image_sums_WLL=table["image_cosine_sums"].combine_chunks().to_numpy_ndarray() if images else None,
        )
    except _NO_COLUMN as fault:
        raise _unreadable(f"no such column: {fault}") from None
    fault_found = _windows_fault(found)
    if fault_found:
        raise _unreadable(fault_found)
    return found


def decode_states(data: bytes) -> SampledStates:
    """What `encode_states` wrote, but for norms.

    Raises:
        IntegrityError: Not that table, or a page fails its checksum.
    """
    table = read_table(data)
    try:
        found = SampledStates(
            windows=tuple(table["window"].to_pylist()),
            positions_R=table["position"].to_numpy(),
            units_RLD=table["units"].combine_chunks().to_numpy_ndarray(),
        )
    except _NO_COLUMN as fault:
        raise _unreadable(f"no such column: {fault}") from None
    if not _are_texts(found.windows) or found.positions_R.dtype.kind != "i" or found.units_RLD.ndim != 3:
        raise _unreadable("its columns hold something else")
    return found


def _windows_fault(found: WindowSums) -> str | None:
    """What a table of windows holds that no capture does."""
    pairs = [(found.num_tokens, found.cosine_sums_WLL)]
    if found.num_image_tokens is not None and found.image_sums_WLL is not None:
        pairs.append((found.num_image_tokens, found.image_sums_WLL))
    return _columns_fault(found, pairs) or _sums_fault(found.num_tokens, pairs)


def _columns_fault(found: WindowSums, pairs: _Pairs) -> str | None:
    if not found.ids or not _are_texts(found.ids) or not _are_texts(found.documents):
        return "its windows have no names"
    if len(set(found.ids)) < len(found.ids):
        return "a window is there twice"
    if any(tokens_W.dtype.kind != "i" or sums_WLL.dtype != np.float64 for tokens_W, sums_WLL in pairs):
        return "its columns hold something else"
    if any(sums_WLL.ndim != 3 or sums_WLL.shape[1] != sums_WLL.shape[2] for _, sums_WLL in pairs):
        return "its sums are not of pairs of boundaries"
    return None


def _sums_fault(num_tokens: NDArray[np.int64], pairs: _Pairs) -> str | None:
    if num_tokens.min() <= 0:
        return "a window has no tokens"
    if not all(_are_sums(tokens_W, sums_WLL) for tokens_W, sums_WLL in pairs):
        return "its sums are none of cosines"
    if any((tokens_W > num_tokens).any() for tokens_W, _ in pairs):
        return "it has more tokens of images than tokens"
    return None


def _are_sums(tokens_W: NDArray[np.int64], sums_WLL: NDArray[np.float64]) -> bool:
    """Whether they can be sums of a cosine a token, of so many tokens."""
    if tokens_W.min() < 0 or tokens_W.max() > _MOST_TOKENS:
        return False
    return bool((np.abs(sums_WLL).max(axis=(1, 2), initial=0) <= tokens_W * (1 + _ROUNDING)).all())


def _are_texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def read_table(data: bytes) -> pa.Table:
    """A table of this schema version.

    Raises:
        IntegrityError: Not Parquet, another version, or a page fails its checksum.
    """
    try:
        about = pq.read_metadata(pa.BufferReader(data))
        claimed = _claimed_bytes(about)
        if about.num_rows > _MOST_ROWS or claimed > min(_MOST_BYTES, _ALWAYS_BYTES + _MOST_FOR_A_BYTE * len(data)):
            raise _unreadable(f"it says that its {len(data)} bytes hold {about.num_rows} rows, {claimed} bytes")
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as fault:  # its messages quote bytes that may be no text
        raise _unreadable(str(fault)) from None
    version = (table.schema.metadata or {}).get(_VERSION_KEY.encode())
    if version != SCHEMA_VERSION.encode():
        raise _unreadable(f"schema version {version!r}")
    return table


def _claimed_bytes(about: pq.FileMetaData) -> int:
    """What a file says that it takes in memory; a page of one value, repeated, is said to be small, and is not."""
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
    return sum(
        max(chunk.total_uncompressed_size, chunk.num_values * _VALUE_BYTES.get(chunk.physical_type, 1))
        for chunk in chunks
    )


def _tensor_column(rows: NDArray[np.generic]) -> pa.FixedShapeTensorArray:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(rows))


def _write(table: pa.Table, metadata: Mapping[str, str], split_columns: list[str]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({**metadata, _VERSION_KEY: SCHEMA_VERSION}),
        sink,
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=split_columns,
        write_page_checksum=True,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _unreadable(why: str) -> IntegrityError:
    return IntegrityError(f"a capture cannot be read: {why}", "Recompute it")
