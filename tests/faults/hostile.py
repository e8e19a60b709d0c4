"""Hostile checkpoints, each of a sound one: how it is spoilt, and what has to come of it."""

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
_UP = "model.layers.2.mlp.up_proj.weight"


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One.

    Attributes:
        spoil: Spoils a folder; given where code that runs would leave a mark; returns what is to be fetched.
        says: What the refusal says, as a regular expression; None where it is harmless and is taken.
        stored: Names of files that must not be in the store, of one that is taken.
    """

    spoil: Callable[[Path, Path], Path | None]
    says: str | None
    stored: tuple[str, ...] = ()


def _edit(name: str, **changes: Any) -> Callable[[Path, Path], None]:
    """Fields of a JSON file."""

    def spoil(folder: Path, mark: Path) -> None:
        path = folder / name
        value = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**value, **changes}))

    return spoil


def _write(name: str, data: bytes) -> Callable[[Path, Path], None]:
    return lambda folder, mark: (folder / name).write_bytes(data) and None


def _link(name: str, target: str | Path) -> Callable[[Path, Path], None]:
    """A link in place of a file."""

    def spoil(folder: Path, mark: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return spoil


class _Marks:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def _pickled(name: str, keep_weights: bool) -> Callable[[Path, Path], None]:
    def spoil(folder: Path, mark: Path) -> None:
        (folder / name).write_bytes(pickle.dumps({"weight": _Marks(mark)}))
        if not keep_weights:
            (folder / WEIGHTS).unlink()

    return spoil


def _code(folder: Path, mark: Path) -> None:
    """A module that leaves a mark, under every name that something might import."""
    text = f"import os\nos.system('touch {mark}')\nclass Evil: pass\n"
    for name in ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py", "__init__.py", "conftest.py"):
        (folder / name).write_text(text)
    (folder / "custom_generate").mkdir(exist_ok=True)
    (folder / "custom_generate" / "generate.py").write_text(text)


def _with_code(spoil: Callable[[Path, Path], Any]) -> Callable[[Path, Path], None]:
    def both(folder: Path, mark: Path) -> None:
        _code(folder, mark)
        spoil(folder, mark)

    return both


def _header(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], None]:
    """Another header before the same data."""

    def spoil(folder: Path, mark: Path) -> None:
        data = (folder / WEIGHTS).read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        changed = change(header)
        encoded = changed if isinstance(changed, bytes) else json.dumps(header if changed is None else changed).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(encoded)) + encoded + data[8 + length :])

    return spoil


def _names(header: dict[str, Any]) -> list[str]:
    """By their place in the data."""
    named = [name for name in header if name != "__metadata__"]
    return sorted(named, key=lambda name: header[name]["data_offsets"])


def _overlap(header: dict[str, Any]) -> None:
    first, second = _names(header)[:2]
    header[second] = dict(header[first])


def _hole(header: dict[str, Any]) -> None:
    del header[_names(header)[3]]


def _one(name: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].update(changes)


def _more(name: str, **entry: Any) -> Callable[[dict[str, Any]], None]:
    told = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0], **entry}
    return lambda header: header.update({name: told})


def _doubled(header: dict[str, Any]) -> bytes:
    text = json.dumps(header)
    return (text[:-1] + ", " + json.dumps({_UP: header[_UP]})[1:]).encode()


def _length(number: int) -> Callable[[Path, Path], None]:
    def spoil(folder: Path, mark: Path) -> None:
        data = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", number) + data[8:])

    return spoil


def _sparse(name: str, num_bytes: int) -> Callable[[Path, Path], None]:
    """A file that is said to be large, and takes nothing on disk."""

    def spoil(folder: Path, mark: Path) -> None:
        with (folder / name).open("ab") as file:
            file.truncate(num_bytes)

    return spoil


def _brackets(folder: Path, mark: Path) -> None:
    """A header of brackets alone: each takes 64 bytes once it is parsed."""
    text = b"{" + b",".join(b'"%d":[[],[],[],[],[],[],[],[]]' % number for number in range(700_000)) + b"}"
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text)


def _weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path, Path], None]:
    def spoil(folder: Path, mark: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})

    return spoil


def _number(value: float) -> Callable[[Path, Path], None]:
    def change(weights: dict[str, Any]) -> None:
        weights[_UP][1, 2] = value

    return _weights(change)


def _in_two_shards(folder: Path, mark: Path) -> None:
    shutil.copy(folder / WEIGHTS, folder / "a.safetensors")
    (folder / WEIGHTS).rename(folder / "b.safetensors")
    _index({"x": "a.safetensors", "y": "b.safetensors"})(folder, mark)


def _index(weight_map: Any) -> Callable[[Path, Path], None]:
    return _edit(INDEX, weight_map=weight_map)


def _outside(name: str) -> Callable[[Path, Path], None]:
    """An index that names weights elsewhere, which are there."""

    def spoil(folder: Path, mark: Path) -> None:
        shutil.copy(folder / WEIGHTS, folder.parent / "outside.safetensors")
        _index({"model.norm.weight": name.format(parent=folder.parent)})(folder, mark)

    return spoil


def _pipe(name: str) -> Callable[[Path, Path], None]:
    def spoil(folder: Path, mark: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def _blobs(folder: Path, mark: Path) -> None:
    """What looks like the hub's cache, and is none."""
    blobs = folder.parent.parent / "blobs"
    blobs.mkdir(exist_ok=True)
    (blobs / "secret").write_text("secret")
    _link("LICENSE", blobs / "secret")(folder, mark)


def _gguf(
    *fields: bytes,
    tensors: tuple[bytes, ...] = (),
    version: int = 3,
    num_tensors: int | None = None,
    num_fields: int | None = None,
) -> Callable[[Path, Path], Path]:
    """A GGUF file, which may say that it has another version, or other numbers of tensors and fields."""

    def spoil(folder: Path, mark: Path) -> Path:
        path = folder.parent / f"{folder.name}.gguf"
        counts = num_tensors or len(tensors), num_fields or len(fields)
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join((*fields, *tensors)) + b"\0" * 64)
        return path

    return spoil


def _field(kind: int, value: bytes, name: bytes = b"a") -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value


def _gguf_tensor(*shape: int) -> bytes:
    return struct.pack("<Q", 1) + b"t" + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, 0)


_ATTRIBUTES = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.system('touch MARK') }}"


def _template(name: str) -> Callable[[Path, Path], None]:
    """A template that leaves a mark where it is rendered outside a sandbox."""

    def spoil(folder: Path, mark: Path) -> None:
        text = _ATTRIBUTES.replace("MARK", str(mark))
        if name.endswith(".jinja"):
            (folder / name).write_text(text)
        else:
            _edit(name, chat_template=text)(folder, mark)

    return spoil


def _no_tensor(shape: list[int], data_offsets: list[int]) -> Callable[[Path, Path], None]:
    return _header(_one(_UP, shape=shape, data_offsets=data_offsets))


_UNSOUND = r"model\.safetensors is no sound safetensors file: "

CASES: dict[str, Hostile] = {
    # Code.
    **{
        f"pickle only: {name}": Hostile(spoil=_pickled(name, keep_weights=False), says="pickled weights")
        for name in ("pytorch_model.bin", "model.pt", "consolidated.00.pth", "weights.pkl", "model.ckpt")
    },
    "pickle beside safetensors": Hostile(
        spoil=_pickled("pytorch_model.bin", keep_weights=True), says=None, stored=("pytorch_model.bin",)
    ),
    "pickled optimiser and arguments": Hostile(
        spoil=_pickled("training_args.bin", keep_weights=True), says=None, stored=("training_args.bin",)
    ),
    "code files": Hostile(spoil=_code, says=None, stored=("modeling_evil.py", "conftest.py", "custom_generate")),
    **{
        f"auto_map in {name}": Hostile(
            spoil=_with_code(_edit(name, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"})),
            says=rf"{name} names code .*auto_map",
        )
        for name in (
            CONFIG, "tokenizer_config.json", "preprocessor_config.json", "processor_config.json",
            "video_preprocessor_config.json", "generation_config.json",
        )
    },
    "auto_map deep within": Hostile(
        spoil=_with_code(_edit(CONFIG, a={"b": [{"auto_map": {"AutoConfig": "modeling_evil.Evil"}}]})), says="auto_map"
    ),
    "another file of weights": Hostile(
        spoil=_edit(CONFIG, transformers_weights="pytorch_model.bin"), says="transformers_weights"
    ),
    "kernel from a hub": Hostile(spoil=_edit(CONFIG, attn_implementation="evil/kernel"), says="kernel"),
    "kernel from a hub, deep within": Hostile(
        spoil=_edit(CONFIG, a=[{"_attn_implementation": "evil/kernel:Evil"}]), says="kernel"
    ),
    "quantised by code": Hostile(
        spoil=_with_code(_edit(CONFIG, quantization_config={"quant_method": "modeling_evil.Evil"})), says="quantised by"
    ),
    "quantised by an object": Hostile(
        spoil=_edit(CONFIG, quantization_config={"quant_method": {"a": 1}}), says="quant_method"
    ),
    "tokenizer of a class of its own": Hostile(
        spoil=_with_code(_edit("tokenizer_config.json", tokenizer_class="Evil", processor_class="Evil")), says=None
    ),
    "model of a class of its own": Hostile(
        spoil=_with_code(_edit(CONFIG, architectures=["Evil"], model_type="evil")), says="no architecture that lorp"
    ),
    "known model of a class of its own": Hostile(
        spoil=_with_code(_edit(CONFIG, architectures=["Evil"])), says="no architecture that lorp"
    ),
    **{
        f"template that reaches Python, in {name}": Hostile(spoil=_template(name), says=None)
        for name in ("chat_template.jinja", "tokenizer_config.json", "chat_template.json")
    },
    # Links and names that lead elsewhere.
    "config is a link": Hostile(spoil=_link(CONFIG, "/etc/passwd"), says=rf"{CONFIG} is not a readable JSON object"),
    "weights are a link": Hostile(spoil=_link(WEIGHTS, "/etc/passwd"), says=_UNSOUND),
    "licence is a link": Hostile(spoil=_link("LICENSE", "/etc/passwd"), says="LICENSE is a link out of its folder"),
    "vocabulary is a link": Hostile(spoil=_link("vocab.txt", "/proc/self/environ"), says="vocab.txt is a link"),
    "link into no cache": Hostile(spoil=_blobs, says="LICENSE is a link out of its folder"),
    "link that dangles": Hostile(spoil=_link(CONFIG, "nowhere"), says=f"it holds no {CONFIG}"),
    "link to itself": Hostile(spoil=_link(CONFIG, CONFIG), says=f"it holds no {CONFIG}"),
    "link to a folder": Hostile(spoil=_link(CONFIG, "/etc"), says=f"it holds no {CONFIG}"),
    "link to a device": Hostile(spoil=_link(WEIGHTS, "/dev/zero"), says="holds no weights"),
    "licence is a device": Hostile(spoil=_link("LICENSE", "/dev/zero"), says=None, stored=("LICENSE",)),
    "config is a pipe": Hostile(spoil=_pipe(CONFIG), says=f"it holds no {CONFIG}"),
    "weights are a pipe": Hostile(spoil=_pipe(WEIGHTS), says="holds no weights"),
    "model card is a pipe": Hostile(spoil=_pipe("README.md"), says=None, stored=("README.md",)),
    **{
        f"index names {name}": Hostile(spoil=_outside(name), says=rf"{INDEX} names files outside")
        for name in (
            "../outside.safetensors", "{parent}/outside.safetensors", "a/../../outside.safetensors",
            "\x1b[2J.safetensors",
        )
    },
    "index names what is no file of weights": Hostile(spoil=_index({"a": "/etc/passwd"}), says="names no weight files"),
    "index names a very long name": Hostile(spoil=_index({"a": "a" * 5000 + ".safetensors"}), says="outside"),
    "index of another kind": Hostile(spoil=_index([["a", WEIGHTS]]), says="names no weight files"),
    # Headers.
    "header of exabytes": Hostile(spoil=_length(2**62), says=_UNSOUND),
    "header longer than the file": Hostile(spoil=_length(10**6), says=_UNSOUND),
    "no header": Hostile(spoil=_length(0), says=_UNSOUND),
    "header of brackets": Hostile(spoil=_brackets, says="more than 200000 tensors"),
    "header nested without end": Hostile(spoil=_header(lambda _: b"[" * 500_000), says=_UNSOUND),
    "name twice": Hostile(spoil=_header(_doubled), says="names something twice"),
    "tensor in two shards": Hostile(spoil=_in_two_shards, says="is stored twice"),
    "tensors that overlap": Hostile(spoil=_header(_overlap), says="overlap others or leave a hole"),
    "a hole": Hostile(spoil=_header(_hole), says="overlap others or leave a hole"),
    "terabyte shape": Hostile(spoil=_no_tensor([2**20, 2**20], [0, 4]), says="does not fit its shape"),
    "shape whose product is over 64 bits": Hostile(spoil=_no_tensor([2**33, 2**33], [0, 0]), says="does not fit"),
    "shape of a huge number": Hostile(spoil=_no_tensor([10**30], [0, 4]), says="impossible"),
    "shape of nothing times very much": Hostile(spoil=_no_tensor([0, 2**62], [0, 0]), says="shape|overlap"),
    "negative shape": Hostile(spoil=_no_tensor([-1, -4], [0, 16]), says="impossible"),
    "negative offsets": Hostile(spoil=_no_tensor([1], [-8, -4]), says="impossible"),
    "offsets beyond the file": Hostile(spoil=_no_tensor([1], [2**40, 2**40 + 4]), says="overlap others|end at"),
    "terminal escapes in a name": Hostile(spoil=_header(_more("\x1b[31mred\x1b]0;title\x07")), says="no tensor's name"),
    "new line in a name": Hostile(spoil=_header(_more("a\nlorp: approved")), says="no tensor's name"),
    "name that turns the line round": Hostile(spoil=_header(_more("\u202egpj.exe")), says="no tensor's name"),
    "name of a megabyte": Hostile(spoil=_header(_more("a" * 10**6)), says="no tensor's name"),
    "file of a terabyte": Hostile(spoil=_sparse(WEIGHTS, 1 << 40), says=_UNSOUND),
    # Weights.
    **{f"weight {value}": Hostile(spoil=_number(float(value)), says=_UP) for value in ("nan", "inf", "-inf")},
    # Configs.
    **{
        f"{field} of {value}": Hostile(spoil=_edit(CONFIG, **{field: value}), says=says)
        for field, value, says in (
            ("num_hidden_layers", 10**9, "10+ blocks"),
            ("num_hidden_layers", -1, "num_hidden_layers"),
            ("hidden_size", 2**40, "shape|builds no model"),
            ("hidden_size", 0, "shape|builds no model"),
            ("intermediate_size", 2**50, "shape|builds no model"),
            ("vocab_size", 2**40, "shape|builds no model"),
            ("vocab_size", 10**30, "shape|builds no model"),
            ("num_attention_heads", 0, "shape|builds no model"),
            ("head_dim", 2**40, "shape|builds no model"),
            ("num_labels", 10**9, "impossible number of labels"),
            ("rope_scaling", {"rope_type": "evil", "factor": 1e308}, "builds no model"),
        )
    },
    "labels deep within": Hostile(spoil=_edit(CONFIG, a={"_num_labels": 10**9}), says="impossible number of labels"),
    "config of a gigabyte": Hostile(spoil=_sparse(CONFIG, 1 << 30), says=f"{CONFIG} is not a readable JSON object"),
    "config nested without end": Hostile(
        spoil=_write(CONFIG, b'{"a":' * 100_000), says=f"{CONFIG} is not a readable JSON object"
    ),
    "vocabulary of a terabyte": Hostile(spoil=_sparse("tokenizer.json", 1 << 40), says="tokenizer.json is larger than"),
    "terminal escapes in the kind of model": Hostile(
        spoil=_edit(CONFIG, model_type="\x1b[2J\x1b[Hlorp: APPROVED\n"), says="no architecture that lorp"
    ),
    "markup in the kind of model": Hostile(
        spoil=_edit(CONFIG, model_type="<script>alert(1)</script>"), says="no architecture that lorp"
    ),
    # GGUF.
    "GGUF with fields without end": Hostile(spoil=_gguf(num_fields=2**60), says="tensors and .* fields"),
    "GGUF with tensors without end": Hostile(spoil=_gguf(num_tensors=2**60), says="tensors and .* fields"),
    "GGUF with a list without end": Hostile(
        spoil=_gguf(_field(9, struct.pack("<IQ", 0, 2**60))), says="a list of 11529"
    ),
    "GGUF with a list that is longer than it": Hostile(
        spoil=_gguf(_field(9, struct.pack("<IQ", 8, 2**20))), says="ends within its header"
    ),
    "GGUF with lists in lists": Hostile(
        spoil=_gguf(_field(9, struct.pack("<IQ", 9, 1))), says="list of values of the type 9"
    ),
    "GGUF with a text without end": Hostile(spoil=_gguf(_field(8, struct.pack("<Q", 2**63))), says="ends within"),
    "GGUF with a terabyte shape": Hostile(spoil=_gguf(tensors=(_gguf_tensor(2**20, 2**20),)), says="does not fit"),
    "GGUF with tensors that lie on one another": Hostile(
        spoil=_gguf(tensors=(_gguf_tensor(100, 10),) * 100), says="does not fit"
    ),
    "GGUF with more blocks than tensors": Hostile(
        spoil=_gguf(_field(4, struct.pack("<I", 10**7), b"llama.block_count"), tensors=(_gguf_tensor(1),)),
        says="10000000 blocks, and has tensors of 0",
    ),
    "GGUF of another version": Hostile(spoil=_gguf(version=99), says="another version"),
}  # fmt: skip
