"""Dense model and variant in one process, measured in turn -> how much faster and smaller the variant is.

Times are of this machine, at this load: only their ratios, taken within one round, say something of the variant.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import PreTrainedModel

from lorp.evaluation.decoding import greedy_tokens, prefill
from lorp.feeding import Feed, reads_source
from lorp.progress import track
from lorp.spec import SpeedSpec


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one model in one round.

    Attributes:
        prefill: From the prompt to the first token's logits.
        decode: A token, mean over those decoded one by one.
    """

    prefill: float
    decode: float

    def __post_init__(self) -> None:
        if not self.prefill > 0 < self.decode:
            raise ValueError("nothing takes no time")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one model.

    Attributes:
        weights: Parameters and buffers, as loaded.
        kv_token: Of the KV cache, a token of the timed prompt.
        peak: Most that was held at once in a prefill of the prompt: weights, cache, activations.
    """

    weights: int
    kv_token: int
    peak: int

    def __post_init__(self) -> None:
        if not 0 < self.weights < 1 << 62 or not all(0 <= size < 1 << 62 for size in (self.kv_token, self.peak)):
            raise ValueError("no model takes so many bytes")

    def resident(self, num_tokens: int) -> int:
        """Bytes that serving one sequence of so many tokens takes, activations apart."""
        return self.weights + num_tokens * self.kv_token


@dataclass(frozen=True, kw_only=True)
class Round:
    """Both models, measured one right after the other."""

    dense: Timing
    pruned: Timing


@dataclass(frozen=True, kw_only=True)
class SpeedComparison:
    """Time and memory of a dense model and its variant.

    Attributes:
        dense: Digest of the dense checkpoint.
        pruned: Digest of the variant.
        processor: The accelerator, or the CPU.
        dtype: Precision.
        threads: Of the CPU, in an operation.
        prefill_tokens: Tokens of the prompt.
        decode_tokens: Tokens decoded.
        rounds: Measurements.
        dense_memory: Of the dense model.
        pruned_memory: Of the variant.
    """

    dense: str
    pruned: str
    processor: str
    dtype: str
    threads: int
    prefill_tokens: int
    decode_tokens: int
    rounds: tuple[Round, ...]
    dense_memory: Memory
    pruned_memory: Memory

    def __post_init__(self) -> None:
        if not self.rounds or not all(0 < tokens < 1 << 31 for tokens in (self.prefill_tokens, self.decode_tokens)):
            raise ValueError("nothing was timed")

    @property
    def prefill_speedups(self) -> list[float]:
        """Dense / pruned seconds of prefill, a round each."""
        return [entry.dense.prefill / entry.pruned.prefill for entry in self.rounds]

    @property
    def decode_speedups(self) -> list[float]:
        """Dense / pruned seconds a decoded token, a round each."""
        return [entry.dense.decode / entry.pruned.decode for entry in self.rounds]

    @property
    def figures(self) -> dict[str, float]:
        """Medians of the speed-ups, and the memory ratio, by name."""
        return {
            "prefill_speedup": median(self.prefill_speedups),
            "decode_speedup": median(self.decode_speedups),
            "memory_ratio": self.memory_ratio,
        }

    @property
    def memory_ratio(self) -> float:
        """Pruned / dense bytes that the timed sequence takes, activations apart."""
        tokens = self.prefill_tokens + self.decode_tokens
        return self.pruned_memory.resident(tokens) / self.dense_memory.resident(tokens)


def measure_rounds(dense: PreTrainedModel, pruned: PreTrainedModel, prompt: Feed, spec: SpeedSpec) -> tuple[Round, ...]:
    """Times both models `spec.repeats` times, each going first every other time; an untimed round comes before."""
    with torch.inference_mode():
        _round(dense, pruned, prompt, spec)
        return tuple(
            _round(dense, pruned, prompt, spec, pruned_first=index % 2 == 1)
            for index in track(range(spec.repeats), "time dense and pruned")
        )


def measure_memory(model: PreTrainedModel, prompt: Feed) -> Memory:
    """Bytes that a model and a prefill of the prompt take; the same in every run of the same software."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    weights = sum(tensor.nbytes for tensor in tensors.values())
    with torch.inference_mode():
        cache = prefill(model, prompt).past_key_values
        parts = (cache.self_attention_cache, cache.cross_attention_cache) if reads_source(model) else (cache,)
        layers = [layer for part in parts for layer in part.layers]
        kv_bytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
        longest = max(layer.keys.shape[-2] for layer in layers)
        del cache, parts, layers
        peak = weights + _peak_bytes(model, prompt)
    return Memory(weights=weights, kv_token=kv_bytes // max(longest, prompt.num_read), peak=peak)


def _round(
    dense: PreTrainedModel,
    pruned: PreTrainedModel,
    prompt: Feed,
    spec: SpeedSpec,
    *,
    pruned_first: bool = False,
) -> Round:
    if pruned_first:
        second = _timing(pruned, prompt, spec.decode_tokens)
        return Round(dense=_timing(dense, prompt, spec.decode_tokens), pruned=second)
    first = _timing(dense, prompt, spec.decode_tokens)
    return Round(dense=first, pruned=_timing(pruned, prompt, spec.decode_tokens))


def _timing(model: PreTrainedModel, prompt: Feed, decode_tokens: int) -> Timing:
    start = _now(model)
    tokens = greedy_tokens(model, prompt)
    next(tokens)
    prefilled = _now(model)
    for _ in islice(tokens, decode_tokens):
        pass
    return Timing(prefill=prefilled - start, decode=(_now(model) - prefilled) / decode_tokens)


def _now(model: PreTrainedModel) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return time.perf_counter()


def _peak_bytes(model: PreTrainedModel, prompt: Feed) -> int:
    """Most bytes allocated at once by a prefill, beyond what was allocated before it."""
    if model.device.type == "cuda":
        before = torch.cuda.memory_allocated(model.device)
        torch.cuda.reset_peak_memory_stats(model.device)
        prefill(model, prompt)
        return int(torch.cuda.max_memory_allocated(model.device)) - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _standard_error_closed(), torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        prefill(model, prompt)
    recorded: Any = profiler.profiler
    steps = sorted(
        (event.start_ns(), event.nbytes()) for event in recorded.kineto_results.events() if event.name() == "[memory]"
    )
    held = peak = 0
    for _, num_bytes in steps:
        held += num_bytes
        peak = max(peak, held)
    return peak


@contextmanager
def _standard_error_closed() -> Iterator[None]:
    """The profiler's library writes to standard error, past Python, when it starts and ends."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
