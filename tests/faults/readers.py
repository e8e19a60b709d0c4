"""Everything of lorp that reads what others wrote, each with sound samples and a way to break them."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import mutations

Broken = Callable[[Any, Random], Any]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One way in.

    Attributes:
        name: What is read.
        weight: How often, beside others.
        samples: What is sound.
        broken: Breaks a sample, by a draw.
        act: Reads it; what is no more than None says that it was refused.
        kind: Which of the kinds that are counted each by itself; None for all else.
    """

    name: str
    weight: float
    samples: Sequence[Any]
    broken: Broken
    act: Callable[[Any], Any]
    kind: str | None = None

    @property
    def num_samples(self) -> int:
        """How many there are."""
        return len(self.samples)

    def draw(self, draw: Random) -> Any:
        """Something broken."""
        return self.broken(draw.choice(self.samples), draw)

    def read(self, data: Any) -> bool:
        """Whether it is taken."""
        return self.act(data) is not None

    def read_sound(self, sample: int) -> None:
        """Reads a sample as it is.

        Raises:
            AssertionError: It is refused.
        """
        # A draw that changes nothing: a sample that is JSON is written as such.
        data = self.broken(self.samples[sample], _Still())
        assert self.read(data), f"a sound {self.name} ({sample}) is refused"


class _Still(Random):
    """What a sound sample is drawn with."""


def either(one: Broken, other: Broken, share: float = 0.5) -> Broken:
    """One way of breaking or the other."""
    return lambda sample, draw: (one if isinstance(draw, _Still) or draw.random() < share else other)(sample, draw)


def _bytes(sample: bytes, draw: Random) -> bytes:
    return sample if isinstance(draw, _Still) else mutations.bytes_of(sample, draw)


def _json(sample: Any, draw: Random) -> bytes:
    return json.dumps(sample).encode() if isinstance(draw, _Still) else mutations.json_of(sample, draw)


def _value(sample: Any, draw: Random) -> Any:
    return sample if isinstance(draw, _Still) else mutations.value_of(sample, draw)


def _json_bytes(sample: bytes, draw: Random) -> bytes:
    """Of JSON text."""
    return sample if isinstance(draw, _Still) else mutations.json_of(json.loads(sample), draw)


def readers(home: Path, pico: Path, folder: Path) -> list[Reader]:
    """All of them.

    Args:
        home: One with a store that a run has filled.
        pico: A checkpoint.
        folder: Where inputs may be written.
    """
    return [
        *_of_files(pico, home, folder),
        *_of_configs(pico, folder),
        *_of_values(home / "store", folder),
        *_of_records(home / "store"),
        *_of_specs(folder),
        *_of_rows(folder),
        *_of_captures(home / "store"),
        *_of_media(),
    ]


def _through(path: Path, act: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """Reads a file."""

    def read(data: bytes) -> Any:
        path.write_bytes(data)
        return act(path)

    return read


def _header(sample: bytes, draw: Random) -> bytes:
    """A safetensors file with another header, whose length is right."""
    length = int.from_bytes(sample[:8], "little")
    header = _json(json.loads(sample[8 : 8 + length]), draw)
    return len(header).to_bytes(8, "little") + header + sample[8 + length :]


def _of_files(pico: Path, home: Path, folder: Path) -> Iterator[Reader]:
    from lorp.gguf import gguf_licence, gguf_num_blocks
    from lorp.healing.patch import open_weights
    from lorp.licence import licence_of_card
    from lorp.safetensors_file import read_tensors

    weights = (pico / "model.safetensors").read_bytes()
    length = 8 + int.from_bytes(weights[:8], "little")
    small = [_small_safetensors(), weights[:length] + b"\0" * (len(weights) - length)]
    patches = [path.read_bytes() for path in home.glob("store/patches/*/*.safetensors")]
    broken = either(_header, _bytes, 0.7)
    act = _through(folder / "w", read_tensors)
    yield Reader(name="header", kind="headers", weight=18, samples=small, broken=broken, act=act)
    act = _through(folder / "p", open_weights)
    yield Reader(name="patch", kind="patches", weight=8, samples=patches, broken=broken, act=act)

    def gguf(path: Path) -> int:
        gguf_licence(path)
        return gguf_num_blocks(path)

    samples = [_gguf(folder / "sound.gguf")]
    yield Reader(name="gguf", weight=4, samples=samples, broken=_bytes, act=_through(folder / "g.gguf", gguf))
    card = b"---\nlicense: apache-2.0\nlanguage:\n- en\ntags: [a, b]\nsize: 1_000\n---\n# A model\n"
    yield Reader(
        name="model card",
        weight=3,
        samples=[card],
        broken=either(_yaml_bytes, _bytes),
        act=_through(folder / "README.md", licence_of_card),
    )


def _small_safetensors() -> bytes:
    from lorp.safetensors_file import encode_header

    return encode_header([("a", "F32", (2, 2), 16), ("b", "BF16", (), 2), ("c.weight", "U8", (0, 3), 0)]) + b"\0" * 18


def _gguf(path: Path) -> bytes:
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_license("apache-2.0")
    writer.add_token_list(["a", "b", "c"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    writer.add_tensor("token_embd.weight", np.zeros((3, 4), np.float32))
    writer.add_tensor("blk.0.attn_q.weight", np.zeros((4, 4), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def _of_configs(pico: Path, folder: Path) -> Iterator[Reader]:
    import shutil

    from families import CASES

    from lorp.checkpoint import open_checkpoint
    from lorp.models import load_model, load_tokenizer
    from lorp.plan import Removal, plan_of
    from lorp.spec import ComputeSpec
    from lorp.surgery import kept_blocks_of, prune

    own = folder / "checkpoint"
    shutil.copytree(pico, own)
    configs = [
        {**case.settings, "model_type": kind, "architectures": sorted(case.data.architectures)[:1]}
        for case in CASES
        for kind in sorted(case.data.model_types)[:1]
    ]
    alone = folder / "config"
    alone.mkdir()
    yield Reader(
        name="config",
        kind="configs",
        weight=10,
        samples=[config for config in map(_plain, configs) if config],
        broken=_json,
        act=_through(alone / "config.json", lambda path: _understood(path.parent)),
    )

    def changed(name: str, act: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        """Reads the checkpoint with that file changed."""
        sound = (own / name).read_bytes() if (own / name).exists() else None

        def read(data: bytes) -> Any:
            try:
                (own / name).write_bytes(data)
                return act(own)
            finally:
                (own / name).write_bytes(sound) if sound is not None else (own / name).unlink()

        return read

    def pruned(checkpoint: Path) -> bool:
        target = folder / "pruned"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        found = open_checkpoint(checkpoint)
        prune(found, plan_of("shortgpt", found.num_blocks, [Removal(block=2, cluster=None, score=0.0)]), target)
        return kept_blocks_of((target / "config.json").read_bytes()) is not None

    def loaded(checkpoint: Path) -> Any:
        return load_model(checkpoint, ComputeSpec())

    texts = {name: (own / name).read_bytes() for name in ("config.json", "generation_config.json")}
    broken = either(_json_bytes, _bytes, 0.9)
    for name, text in texts.items():
        act = changed(name, pruned)
        yield Reader(name=f"pruned {name}", weight=0.8, samples=[text], broken=broken, act=act)
        act = changed(name, loaded)
        yield Reader(name=f"loaded {name}", weight=0.6, samples=[text], broken=broken, act=act)
    index = {"metadata": {"total_size": 1}, "weight_map": {"a": "model.safetensors", "b": "model.safetensors"}}
    yield Reader(
        name="index",
        weight=0.8,
        samples=[index],
        broken=_json,
        act=changed("model.safetensors.index.json", open_checkpoint),
    )
    for name in ("tokenizer_config.json", "tokenizer.json"):
        act = changed(name, load_tokenizer)
        yield Reader(name=name, weight=0.8, samples=[(own / name).read_bytes()], broken=broken, act=act)


def _plain(config: dict[str, Any]) -> dict[str, Any] | None:
    """It, if it is JSON that is understood."""
    from lorp.architectures import families_of
    from lorp.errors import LorpError

    try:
        config = json.loads(json.dumps(config))
        families_of(config)
    except (TypeError, LorpError):
        return None
    return config


def _understood(folder: Path) -> Any:
    """All that is made of a config before a model is built."""
    from lorp.architectures import families_of
    from lorp.architectures.blocks import count_of, num_blocks_of, num_extra_blocks_of
    from lorp.config_file import read_config
    from lorp.quantization import scheme_of

    config = read_config(folder)
    for family in families_of(config):
        num_blocks_of(family, config)
        count_of(family, config)
        num_extra_blocks_of(family, config)
    scheme_of(config)
    return config


def _of_values(store: Path, folder: Path) -> Iterator[Reader]:
    from lorp.values import decode

    manifests = [json.loads(path.read_bytes())["manifest"] for path in sorted((store / "stages").glob("*.json"))]
    samples = [
        (kind, (store / output["key"]).read_bytes())
        for manifest in manifests
        for role, output in manifest["outputs"].items()
        if (kind := _kind_of(manifest, role))
    ]
    measured = _measured(folder / "measured")
    samples += measured

    def broken(sample: tuple[type, bytes], draw: Random) -> tuple[type, bytes]:
        kind, data = sample
        return kind, either(_json_bytes, _bytes, 0.8)(data, draw)

    def read(sample: tuple[type, bytes]) -> Any:
        return decode(*sample)

    yield Reader(name="stored value", weight=18, samples=samples, broken=broken, act=read)
    yield from _of_evidence(measured)
    plans = [data for kind, data in samples if kind.__name__ == "PruningPlan"]
    yield Reader(name="plan", kind="plans", weight=8, samples=plans, broken=_json_bytes, act=_read_plan)


def _read_plan(data: bytes) -> Any:
    from lorp.plan import PruningPlan
    from lorp.values import decode

    return decode(PruningPlan, data).kept


def _kind_of(manifest: dict[str, Any], role: str) -> type | None:
    from lorp.clustering import Clustering
    from lorp.corpus import Windows
    from lorp.corpus.uses import HealingWindows, SearchWindows
    from lorp.evaluation.perplexity import PerplexityEvaluation
    from lorp.gate import Verdict
    from lorp.healing.patch import Patch
    from lorp.plan import PruningPlan
    from lorp.search.recorded import TriedPlans
    from lorp.similarity import Similarity
    from lorp.stability import Stability

    kinds: dict[tuple[str, str], type] = {
        ("cluster", "clustering"): Clustering,
        ("evaluate", "evaluation"): PerplexityEvaluation,
        ("gate", "verdict"): Verdict,
        ("heal", "patch"): Patch,
        ("score", "similarity"): Similarity,
        ("search", "plan"): PruningPlan,
        ("search", "stability"): Stability,
        ("search", "trials"): TriedPlans,
    }
    windows = {None: Windows, "search": SearchWindows, "healing": HealingWindows}
    if role == "windows" and manifest["stage"] == "windows":
        return windows.get(manifest["inputs"].get("use"))
    return kinds.get((manifest["stage"], role))


def _measured(folder: Path) -> list[tuple[type, bytes]]:
    """Evaluations of two models."""
    from evidence import make_bench

    from lorp.evaluation.downstream.results import DownstreamEvaluation
    from lorp.evaluation.generation import GenerationEvaluation
    from lorp.evaluation.perplexity import PerplexityEvaluation
    from lorp.evaluation.speed import SpeedComparison

    kinds = {"": PerplexityEvaluation, "_tasks": DownstreamEvaluation, "_generation": GenerationEvaluation}
    sound = make_bench(folder).sound
    said = [(kind, sound[f"{model}{suffix}"]) for suffix, kind in kinds.items() for model in ("dense", "pruned")]
    return [(kind, json.dumps(value).encode()) for kind, value in (*said, (SpeedComparison, sound["speed"]))]


def _of_evidence(parts: list[tuple[type, bytes]]) -> Iterator[Reader]:
    """What a gate judges, of which one part is broken."""
    from lorp.gate import Evidence, Measured, judge
    from lorp.spec import GateSpec
    from lorp.values import decode

    every = GateSpec(
        max_perplexity=1e9,
        max_accuracy_drop=1,
        max_repetition_increase=1,
        min_speedup=1e-9,
        max_memory_ratio=1e9,
    )

    def broken(sample: list[tuple[type, bytes]], draw: Random) -> list[tuple[type, bytes]]:
        part = draw.randrange(len(sample))
        kind, data = sample[part]
        return [*sample[:part], (kind, _json_bytes(data, draw)), *sample[part + 1 :]]

    def read(sample: list[tuple[type, bytes]]) -> Any:
        one, other, answers, others, said, says, speed = (decode(*part) for part in sample)
        evidence = Evidence(
            dense=Measured(perplexity=one, tasks=answers, generation=said),
            pruned=Measured(perplexity=other, tasks=others, generation=says),
            speed=speed,
        )
        return judge(evidence, every), evidence.figures

    yield Reader(name="evidence", weight=8, samples=[parts], broken=broken, act=read)


def _of_records(store: Path) -> Iterator[Reader]:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    from lorp.digest import canonical_json, digest_value
    from lorp.heads import read_heads
    from lorp.ledger import read_chain
    from tasks.records import parse_record
    from tasks.signing import STATEMENT, signature_fault
    from tasks.vault import unseal

    def sealed(field: str) -> Broken:
        def broken(sample: bytes, draw: Random) -> bytes:
            body = _value(json.loads(sample)[field], draw)
            return canonical_json({field: body, "sha256": digest_value(body)})

        return broken

    manifests = [path.read_bytes() for path in sorted((store / "stages").glob("*.json"))]
    broken = either(sealed("manifest"), either(_bytes, _json_bytes), 0.7)
    yield Reader(name="manifest", kind="manifests", weight=10, samples=manifests, broken=broken, act=unseal)

    chain = [path.read_bytes() for path in sorted((store / "ledger" / "pico").glob("*.json"))]

    def unchained(sample: list[bytes], draw: Random) -> list[bytes]:
        if isinstance(draw, _Still):
            return sample
        place = draw.randrange(len(sample))
        entry = either(sealed("entry"), either(_bytes, _json_bytes), 0.7)(sample[place], draw)
        return [*sample[:place], entry, *sample[place + draw.randrange(2) :]]

    def read(sample: list[bytes]) -> Any:
        return read_chain("pico", dict(enumerate(sample, start=1)))

    yield Reader(name="ledger", weight=8, samples=[chain], broken=unchained, act=read)

    records = [
        path.read_bytes() for path in store.glob("values/*.json") if b"in-toto.io/Statement" in path.read_bytes()
    ]

    def rewritten(sample: bytes, draw: Random) -> bytes:
        return canonical_json(_value(json.loads(sample), draw))

    broken = either(rewritten, either(_bytes, _json_bytes), 0.7)
    yield Reader(name="lineage record", weight=3, samples=records, broken=broken, act=parse_record)
    heads = [{"schema": "lorp.heads/1", "time": "t", "heads": [{"name": "pico", "sequence": 1, "sha256": "0" * 64}]}]
    yield Reader(name="heads", weight=2, samples=heads, broken=_json, act=read_heads)

    key, signed = CryptoSigner.generate_ed25519(), Envelope(b"payload", STATEMENT, {})
    signed.sign(key)

    def signature(data: bytes) -> bool | None:
        return True if signature_fault(b"payload", STATEMENT, data, [key.public_key]) is None else None

    yield Reader(name="signature", weight=2, samples=[signed.to_dict()], broken=_json, act=signature)


def _yaml_bytes(sample: bytes, draw: Random) -> bytes:
    """YAML with what YAML alone can say."""
    if isinstance(draw, _Still):
        return sample
    odd = (
        b"!!int ''", b"!!float ''", b"!!bool x", b"!!timestamp x", b"!!binary '='", b"!!python/name:os.system",
        b"!!python/object/apply:os.system [true]", b"&a [*a, *a]", b"2024-13-45", b"1:2:3:4", b"{a: 1, a: 2}",
        b"[" * 2000, b"- " * 400, b"? [a]: b", b"<<: *x", b"<<: [{a: 1}]", b"!!set {a, b}", b"!!omap [a: 1]", b"~",
        b"!!null x", b"0b2", b"0x", b"1e400", b".nan", b"\xef\xbf\xbe", b"'", b"%TAG ! x", b"!!merge x", b"|\n  x",
        _laughs(),
    )  # fmt: skip
    lines = sample.split(b"\n")
    for _ in range(draw.choice((1, 1, 2))):
        place = draw.randrange(len(lines))
        name = lines[place].split(b":")[0]
        lines[place] = name + b": " + draw.choice(odd)
    return b"\n".join(lines)


def _laughs() -> bytes:
    """A thousand millions of one thing."""
    return b"\n  a0: &a0 [x, x]\n" + b"\n".join(
        b"  a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 10)
    )


def _of_specs(folder: Path) -> Iterator[Reader]:
    from flows.options import make, read_config, read_policy
    from flows.promote import PromotionSpec
    from flows.watch import WatchSpec
    from lorp.evaluation.downstream.task_yaml import read_task_yaml
    from lorp.promotion import PromotionPolicy
    from lorp.spec import RecompressSpec

    spec = RecompressSpec(source="x", name="x").model_dump(mode="json")
    samples: list[tuple[type, Any]] = [
        (RecompressSpec, spec),
        (WatchSpec, WatchSpec(sources=("x",)).model_dump(mode="json")),
        (PromotionPolicy, PromotionPolicy().model_dump(mode="json")),
        (PromotionSpec, {"name": "x", "version": 1}),
    ]

    def broken(sample: tuple[type, Any], draw: Random) -> tuple[type, Any]:
        return sample[0], _value(sample[1], draw)

    def read(sample: tuple[type, Any]) -> Any:
        kind, value = sample
        return make(kind, **value) if isinstance(value, dict) else None

    yield Reader(name="spec", kind="specs", weight=10, samples=samples, broken=broken, act=read)
    names = ("remove", "calibration", "tasks", "max-perplexity-ratio", "evaluation")
    options = b"remove: 3\ncalibration: [a, b]\ntasks: copa,piqa\nmax-perplexity-ratio: 1.2\nevaluation: a\n"
    known = {name.replace("-", "_"): name for name in names}
    several = partial(read_config, known=known, several=("calibration", "evaluation"))
    yaml_or_bytes = either(_yaml_bytes, _bytes)
    yield Reader(
        name="options", weight=4, samples=[options], broken=yaml_or_bytes, act=_through(folder / "o.yaml", several)
    )
    policy = b"max-age-days: 3\ncanaries:\n- prompt: a\n  contains: [b]\ngate:\n  max-perplexity: 3\napproval: true\n"
    yield Reader(
        name="policy", weight=4, samples=[policy], broken=yaml_or_bytes, act=_through(folder / "p.yaml", read_policy)
    )
    (folder / "rows.jsonl").write_text("{}\n")
    task = (
        b"task: t\noutput_type: multiple_choice\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        b"    test: rows.jsonl\ntest_split: test\ndoc_to_text: '{{q}}'\ndoc_to_target: 0\ndoc_to_choice: [a, b]\n"
        b"metric_list:\n- metric: acc\n"
    )
    yield Reader(
        name="task file",
        weight=4,
        samples=[task],
        broken=yaml_or_bytes,
        act=_through(folder / "t.yaml", read_task_yaml),
    )


def _of_rows(folder: Path) -> Iterator[Reader]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lorp.corpus.address import RowFormat
    from lorp.corpus.rows import jsonl_rows, parquet_rows
    from lorp.evaluation.downstream.local_file import read_rows

    row = {"id": "1", "context": "c", "question": "q", "choices": ["a", "b"], "label": 0, "cluster": "k"}
    yield Reader(name="task row", weight=4, samples=[row], broken=_json, act=_through(folder / "t.jsonl", read_rows))

    def rows(form: RowFormat) -> Callable[[Path], Any]:
        return lambda path: list((jsonl_rows if path.suffix == ".jsonl" else parquet_rows)(path, form))

    text, pair = RowFormat(column="text"), RowFormat(column="text", source="source")
    sound = RowFormat(column="text", source="source", medium="sound")
    row = {"text": "a text", "source": "b"}
    yield Reader(name="text row", weight=2, samples=[row], broken=_json, act=_through(folder / "r.jsonl", rows(text)))
    yield Reader(name="pair", weight=2, samples=[row], broken=_json, act=_through(folder / "p.jsonl", rows(pair)))
    row = {"text": "a text", "source": {"bytes": "UklGRg==", "path": None}}
    yield Reader(name="sound", weight=2, samples=[row], broken=_json, act=_through(folder / "s.jsonl", rows(sound)))
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"] * 9, "source": ["c", "d"] * 9}), sink)
    yield Reader(
        name="Parquet rows",
        kind="Parquet files",
        weight=3,
        samples=[sink.getvalue()],
        broken=_bytes,
        act=_through(folder / "r.parquet", rows(pair)),
    )


def _of_captures(store: Path) -> Iterator[Reader]:
    from lorp.parquet import decode_states, decode_windows
    from lorp.similarity import similarity_of

    files = {path: path.read_bytes() for path in sorted(store.glob("captures/*/*.parquet"))}
    windows = [data for data in files.values() if b"cosine_sums" in data]
    states = [data for data in files.values() if b"cosine_sums" not in data]
    broken = either(_table, _bytes)
    yield Reader(
        name="capture",
        kind="Parquet files",
        weight=3,
        samples=windows,
        broken=broken,
        act=lambda data: similarity_of([decode_windows(data)], 0),
    )
    yield Reader(name="states", kind="Parquet files", weight=2, samples=states, broken=broken, act=decode_states)


def _table(sample: bytes, draw: Random) -> bytes:
    """Sound Parquet of another table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(draw, _Still):
        return sample
    table = pq.read_table(pa.BufferReader(sample))
    name = draw.choice(table.column_names)
    place = table.column_names.index(name)
    changes: tuple[Callable[[], Any], ...] = (
        lambda: table.drop_columns([name]),
        lambda: table.append_column(name, table[name]),
        lambda: table.slice(0, draw.choice((0, 1))),
        lambda: pa.concat_tables([table, table]),
        lambda: table.set_column(place, name, pa.array([None] * len(table))),
        lambda: table.set_column(place, name, pa.array([draw.choice((-1, 0, 2**62))] * len(table))),
        lambda: table.set_column(place, name, pa.array(["x"] * len(table))),
        lambda: table.set_column(place, name, pa.array([float("nan")] * len(table))),
        lambda: table.set_column(place, name, pa.array([b"\xff"] * len(table), pa.binary())),
        lambda: table.set_column(place, name, pa.array([[1.0] * (row % 3) for row in range(len(table))])),
        lambda: table.set_column(
            place, name, pa.FixedShapeTensorArray.from_numpy_ndarray(_odd_numbers(len(table), draw))
        ),
        lambda: table.replace_schema_metadata({"lorp.schema": draw.choice(("1", "2", ""))}),
    )
    sink = pa.BufferOutputStream()
    pq.write_table(draw.choice(changes)(), sink)
    return bytes(sink.getvalue().to_pybytes())


def _odd_numbers(rows: int, draw: Random) -> Any:
    import numpy as np

    shape, kind = draw.choice(((3,), (2, 3), (7, 7), (1, 1))), draw.choice((np.float64, np.int8, np.float16))
    return np.full((rows, *shape), draw.choice((0, -1, 100)), kind)


def _of_media() -> Iterator[Reader]:
    import numpy as np
    from images import png
    from sounds import noise, wav

    from flows.planning import plan_offline
    from lorp.media import _image
    from lorp.spec import PruningSpec
    from lorp.wav import read_wav

    sounds = [wav(noise(0, 200)), wav(noise(0, 200).reshape(-1, 2), width=3), wav(noise(0, 100), width=1)]
    yield Reader(name="WAV", weight=4, samples=sounds, broken=_bytes, act=lambda data: read_wav(data).samples)
    yield Reader(name="image", weight=1, samples=[png(0)], broken=_bytes, act=_image)
    sink = io.BytesIO()
    np.save(sink, 0.9 + 0.1 * np.eye(6))

    def planned(path: Path) -> Any:
        return plan_offline(path, [PruningSpec(remove=2, method=("shortgpt",))])

    from tempfile import gettempdir

    place = Path(gettempdir()) / "similarity.npy"
    yield Reader(name="similarity", weight=1, samples=[sink.getvalue()], broken=_bytes, act=_through(place, planned))
