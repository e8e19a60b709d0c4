"""A pico checkpoint of every family, in the layouts in which they are published."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pico import NUM_BLOCKS, save_byte_tokenizer

from lorp.architectures import FAMILIES, Family
from lorp.plan import Stack

WINDOW = 8
"""Tokens of a sliding window, fewer than tests feed."""

MIXED = ["full_attention", "sliding_attention", "sliding_attention"] * 2

_SHARED = {
    "vocab_size": 256, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": NUM_BLOCKS,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
_GPT2 = {
    **dict.fromkeys(("bos_token_id", "eos_token_id")), "vocab_size": 256, "n_embd": 32, "n_layer": NUM_BLOCKS,
    "n_head": 4, "n_positions": 128,
}  # fmt: skip
_BLOOM = {
    **dict.fromkeys(("bos_token_id", "eos_token_id")), "vocab_size": 256, "hidden_size": 32, "n_layer": NUM_BLOCKS,
    "n_head": 4,
}  # fmt: skip

_T5 = {
    "vocab_size": 256, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": NUM_BLOCKS, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16,
    "eos_token_id": None, "pad_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
_BART = {
    "vocab_size": 256, "d_model": 32, "encoder_layers": NUM_BLOCKS, "decoder_layers": NUM_BLOCKS,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40,
    "max_position_embeddings": 128, "bos_token_id": None, "eos_token_id": None, "pad_token_id": 1,
    "forced_eos_token_id": None, "decoder_start_token_id": 2,
}  # fmt: skip
_WHISPER = {
    "vocab_size": 256, "d_model": 32, "encoder_layers": NUM_BLOCKS, "decoder_layers": NUM_BLOCKS,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40,
    "num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 128, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": 1, "decoder_start_token_id": 2, "begin_suppress_tokens": None,
}  # fmt: skip

Weights = dict[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A pico checkpoint.

    Attributes:
        family: Its family's name.
        stack: Which stack is pruned, where it is not the one that continues a text.
        layout: What is particular about it.
        settings: Its config's, beyond those that all share.
        in_file: Fields to change in `config.json` once saved; None removes one.
        as_stored: The weights as stored, from those of the model.
        config_as_stored: The config as stored, from that which transformers writes.
        after_blocks: Path of the module that takes what the last block gives; empty where that is what the stack gives.
    """

    family: str
    stack: Stack | None = None
    layout: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_file: Mapping[str, Any] = field(default_factory=dict)
    as_stored: Callable[[Weights], Weights] = dict
    config_as_stored: Callable[[dict[str, Any]], dict[str, Any]] = dict
    after_blocks: str = "model.norm"

    def __str__(self) -> str:
        return f"{self.family}{f' {self.stack}' if self.stack else ''}: {self.layout}"

    @property
    def data(self) -> Family:
        """What lorp knows of its family."""
        return next(family for family in FAMILIES if (family.name, family.stack) == (self.family, self.stack))


def make_case(case: Case, folder: Path) -> Path:
    """Writes the checkpoint, with random weights everywhere: biases, norms and what is no parameter too."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file

    [architecture] = case.data.architectures
    model_class = getattr(transformers, architecture)
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**case.settings))
    for parameter in model.parameters():
        noise = torch.randn_like(parameter) * 0.2
        parameter.data = noise if parameter.ndim > 1 else parameter.data + noise
    for name, buffer in model.named_buffers():
        if name in model.state_dict():
            buffer.add_(4 + torch.rand_like(buffer) * 0.02)
    model.save_pretrained(folder)
    weights = folder / "model.safetensors"
    save_file(case.as_stored(load_file(weights)), weights, metadata={"format": "pt"})
    config = folder / "config.json"
    config.write_text(json.dumps(case.config_as_stored(json.loads(config.read_text()))))
    _edit(config, case.in_file)
    save_byte_tokenizer(folder)
    if case.family == "Whisper":
        _save_extractor(case, folder)
    return folder


def _save_extractor(case: Case, folder: Path) -> None:
    """What makes of a second of sound the frames that the model takes."""
    from transformers import WhisperFeatureExtractor

    hop = 16_000 // (2 * case.settings["max_source_positions"])
    settings = {"feature_size": case.settings["num_mel_bins"], "chunk_length": 1, "hop_length": hop}
    WhisperFeatureExtractor(**settings).save_pretrained(folder)  # type: ignore[no-untyped-call]


def _edit(config: Path, changes: Mapping[str, Any]) -> None:
    """Changes those fields alone: `null` elsewhere stays, since leaving it out would mean a default."""
    edited = {**json.loads(config.read_text()), **changes}
    removed = {name for name, value in changes.items() if value is None}
    config.write_text(json.dumps({name: value for name, value in edited.items() if name not in removed}))


def _without(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _gpt2_as_published(weights: Weights) -> Weights:
    import torch

    masks = {f"h.{block}.attn.bias": torch.ones(1, 1, 128, 128).tril() for block in range(NUM_BLOCKS)}
    fills = {f"h.{block}.attn.masked_bias": torch.tensor(-1e4) for block in range(NUM_BLOCKS)}
    return {**_without("transformer.")(weights), **masks, **fills}


def _pythia_as_published(weights: Weights) -> Weights:
    import torch

    stored = dict(weights)
    for block in range(NUM_BLOCKS):
        attention = f"gpt_neox.layers.{block}.attention"
        stored[f"{attention}.bias"] = torch.ones(1, 1, 128, 128, dtype=torch.bool).tril()
        stored[f"{attention}.masked_bias"] = torch.tensor(-1e9)
        stored[f"{attention}.rotary_emb.inv_freq"] = torch.ones(1)
    return stored


def _deepseek_as_published(weights: Weights) -> Weights:
    """With the block that predicts one token more."""
    last = f"model.layers.{NUM_BLOCKS - 1}."
    extra = {
        name.replace(last, f"model.layers.{NUM_BLOCKS}."): tensor.clone()
        for name, tensor in weights.items()
        if name.startswith(last)
    }
    return {**weights, **extra, f"model.layers.{NUM_BLOCKS}.eh_proj.weight": weights["lm_head.weight"].clone()}


def _head_only(weights: Weights) -> Weights:
    return {name.replace("model.embed_tokens", "lm_head"): tensor for name, tensor in weights.items()}


def _head_of_its_own(weights: Weights) -> Weights:
    return {**weights, "lm_head.weight": weights["model.embed_tokens.weight"].flip(0).contiguous()}


def _renamed(*pairs: tuple[str, str]) -> Callable[[Weights], Weights]:
    """Every name with the first of the beginnings that it has changed to the other."""

    def name_of(name: str) -> str:
        return next((new + name.removeprefix(old) for old, new in pairs if name.startswith(old)), name)

    return lambda weights: {name_of(name): tensor for name, tensor in weights.items()}


def _llava_as_published(weights: Weights) -> Weights:
    """With what CLIP and Llama once stored beside their weights."""
    import torch

    named = _renamed(("vision_tower.", "vision_tower.vision_model."))(weights)
    rotary = {
        f"language_model.model.layers.{block}.self_attn.rotary_emb.inv_freq": torch.ones(4)
        for block in range(NUM_BLOCKS)
    }
    return {**named, **rotary, "vision_tower.vision_model.embeddings.position_ids": torch.arange(5).unsqueeze(0)}


#: As some versions of transformers have saved them, named as in the model.
_llava_as_in_model = _renamed(
    ("language_model.lm_head.", "lm_head."), ("language_model.model.", "model.language_model."),
    ("vision_tower.", "model.vision_tower.vision_model."), ("multi_modal_projector.", "model.multi_modal_projector."),
    ("image_newline", "model.image_newline"),
)  # fmt: skip
_qwen_as_in_model = _renamed(("model.", "model.language_model."), ("visual.", "model.visual."))


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """What is said of the language model at the top, as Qwen2-VL was published."""
    text = dict(config["text_config"])
    rotary = text.pop("rope_parameters")
    text |= {"rope_theta": rotary["rope_theta"], "rope_scaling": {**rotary, "type": "mrope"}}
    for name in ("rope_theta", "rope_type"):
        del text["rope_scaling"][name]
    own = {name: value for name, value in config.items() if name != "text_config"}
    return {**text, **own}


def _flat_too(config: dict[str, Any]) -> dict[str, Any]:
    return {**config["text_config"], **config}


def _llama_like(family: str, layout: str, **changes: Any) -> Case:
    """A case whose settings are the shared ones and `changes`, but for what a case has itself."""
    own = {name: changes.pop(name) for name in ("in_file", "as_stored") if name in changes}
    return Case(family=family, layout=layout, settings={**_SHARED, **changes}, **own)


_SLIDING = {"use_sliding_window": True, "sliding_window": WINDOW}
_GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": WINDOW}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
_FINE = {**_EXPERTS, "moe_intermediate_size": 16}
_DEEPSEEK = {
    "num_key_value_heads": 4, "moe_intermediate_size": 16, "n_routed_experts": 8, "n_group": 4, "topk_group": 2,
    "num_experts_per_tok": 2, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "v_head_dim": 8, "qk_nope_head_dim": 8,
}  # fmt: skip
_TIED, _UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
_GLM = {"head_dim": 8, "partial_rotary_factor": 0.5}
_FALCON_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "bos_token_id",
    "eos_token_id",
)
_FALCON = {name: _SHARED[name] for name in _FALCON_FIELDS}
_CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": 8, "patch_size": 4, "projection_dim": 16,
}  # fmt: skip
_SIGLIP = {**_CLIP, "model_type": "siglip_vision_model", "vision_use_head": False}
_QWEN_VISION = {"depth": 3, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 4, "mlp_ratio": 2}
_QWEN_5_VISION = {
    "depth": 3, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "patch_size": 4, "out_hidden_size": 32,
    "fullatt_block_indexes": [1], "window_size": 16,
}  # fmt: skip
_QWEN_TEXT = {
    **_SHARED, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
}  # fmt: skip
_QWEN_TOKENS = {
    "image_token_id": 250, "video_token_id": 251, "vision_start_token_id": 252, "vision_end_token_id": 253,
}  # fmt: skip
_FACTORS = {"short_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5], "long_factor": [1.0, 1.5, 2.0, 3.0, 4.0, 6.0]}


def _seeing(family: str, layout: str, text: Mapping[str, Any], vision: Mapping[str, Any], **changes: Any) -> Case:
    """A case with a vision stack of three blocks."""
    own = {name: changes.pop(name) for name in ("in_file", "as_stored", "config_as_stored") if name in changes}
    settings = {"text_config": dict(text), "vision_config": dict(vision), **changes}
    return Case(family=family, layout=layout, settings=settings, after_blocks="model.language_model.norm", **own)


def _llava(
    family: str, layout: str, text: Mapping[str, Any], vision: Mapping[str, Any] = _CLIP, **changes: Any
) -> Case:
    text = {"model_type": family.rpartition(" ")[2].lower(), **_SHARED, **text}
    return _seeing(family, layout, text, vision, image_token_index=250, **changes)


def _qwen_vl(family: str, layout: str, vision: Mapping[str, Any], text: Mapping[str, Any], **changes: Any) -> Case:
    return _seeing(family, layout, {**_QWEN_TEXT, **text}, vision, **_QWEN_TOKENS, **changes)


_PINPOINTS = {"image_grid_pinpoints": [[8, 16], [16, 8]]}
_GEMMA_IMAGE = {"image_token_index": 250, "boi_token_index": 251, "eoi_token_index": 252, "mm_tokens_per_image": 4}

CASES = (
    _llama_like("Llama", "tied head", **_TIED),
    _llama_like("Llama", "own head, listed kinds", **_UNTIED, layer_types=["full_attention"] * NUM_BLOCKS),
    _llama_like("Llama", "tied head, stored as the head", **_TIED, as_stored=_head_only),
    _llama_like("Mistral", "own head, sliding window", **_UNTIED, sliding_window=WINDOW),
    _llama_like(
        "Mistral", "tied head, listed kinds",
        **_TIED, sliding_window=WINDOW, in_file={"layer_types": MIXED},
    ),
    _llama_like("Ministral", "own head, listed kinds", **_UNTIED, head_dim=8, sliding_window=WINDOW, layer_types=MIXED),
    _llama_like(
        "Qwen2", "own head, window from block 3 on",
        **_UNTIED, **_SLIDING, max_window_layers=3, in_file={"layer_types": None},
    ),
    _llama_like("Qwen2", "tied head, listed kinds", **_TIED, **_SLIDING, layer_types=MIXED),
    _llama_like("Qwen2", "said to be tied, own head stored", **_TIED, as_stored=_head_of_its_own),
    _llama_like(
        "Qwen3", "tied head, window from block 2 on",
        **_TIED, **_SLIDING, head_dim=8, max_window_layers=2, in_file={"layer_types": None},
    ),
    _llama_like("Qwen3", "own head, listed kinds", **_UNTIED, **_SLIDING, head_dim=8, layer_types=MIXED),
    _llama_like(
        "Gemma 3", "tied head, kinds by cadence",
        **_TIED, **_GEMMA, sliding_window_pattern=3,
        in_file={
            "layer_types": None, "_sliding_window_pattern": None, "rope_parameters": None, "rope_theta": 1e6,
            "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        },
    ),
    _llama_like("Gemma 3", "own head, listed kinds", **_UNTIED, **_GEMMA, layer_types=MIXED),
    _llama_like("OLMo 2", "tied head", **_TIED),
    _llama_like("OLMo 2", "own head", **_UNTIED),
    _llama_like("Phi-3", "own head, sliding window", **_UNTIED, sliding_window=WINDOW),
    _llama_like(
        "Phi-3", "tied head, long rotary factors",
        **_TIED, hidden_size=48, original_max_position_embeddings=64,
        rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **_FACTORS},
    ),
    _llama_like(
        "SmolLM3", "tied head, rotary and windows by cadence",
        **_TIED, **_SLIDING, no_rope_layer_interval=3, in_file={"no_rope_layers": None, "layer_types": None},
    ),
    _llama_like(
        "SmolLM3", "own head, listed kinds",
        **_UNTIED, **_SLIDING, no_rope_layers=[0, 1, 1, 0, 0, 1], layer_types=MIXED, max_window_layers=4,
    ),
    _llama_like("Gemma 2", "tied head, kinds by cadence", **_TIED, **_GEMMA, in_file={"layer_types": None}),
    _llama_like("Gemma 2", "own head, listed kinds", **_UNTIED, **_GEMMA, layer_types=MIXED),
    _llama_like(
        "OLMo 3", "own head, kinds by cadence", **_UNTIED, sliding_window=WINDOW,
        in_file={"layer_types": None, "rope_parameters": None, "rope_theta": 5e5},
    ),
    _llama_like("OLMo 3", "tied head, listed kinds", **_TIED, sliding_window=WINDOW, layer_types=MIXED),
    _llama_like(
        "Phi-3", "tied head, part of each attention head rotated",
        **_TIED, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
    ),
    _llama_like("GLM-4", "own head", **_UNTIED, **_GLM),
    _llama_like("GLM-4-0414", "own head", **_UNTIED, **_GLM),
    _llama_like("GLM-4-0414", "tied head", **_TIED, **_GLM),
    _llama_like(
        "Granite", "tied head, scaled", **_TIED,
        embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.1,
    ),
    _llama_like("Granite", "own head, biases", **_UNTIED, attention_bias=True, mlp_bias=True, residual_multiplier=0.5),
    _llama_like("Mixtral", "own head", **_UNTIED, num_local_experts=4, num_experts_per_tok=2),
    _llama_like(
        "Mixtral", "tied head, sliding window",
        **_TIED, sliding_window=WINDOW, num_local_experts=4, num_experts_per_tok=1,
    ),
    _llama_like(
        "Qwen2-MoE", "own head, window before block 4, every second block without experts",
        **_UNTIED, **_FINE, **_SLIDING, shared_expert_intermediate_size=24, decoder_sparse_step=2, max_window_layers=4,
        in_file={"layer_types": None},
    ),
    _llama_like("Qwen2-MoE", "tied head", **_TIED, **_FINE, shared_expert_intermediate_size=24),
    _llama_like("Qwen3-MoE", "own head", **_UNTIED, **_FINE, head_dim=8, norm_topk_prob=True),
    _llama_like(
        "Qwen3-MoE", "tied head, some blocks without experts",
        **_TIED, **_FINE, head_dim=8, decoder_sparse_step=2, mlp_only_layers=[3],
        in_file={"num_local_experts": None, "num_experts": 4},
    ),
    _llama_like("OLMoE", "own head", **_UNTIED, **_EXPERTS),
    _llama_like("OLMoE", "tied head, queries and keys clipped", **_TIED, **_EXPERTS, clip_qkv=1.0),
    _llama_like(
        "DeepSeek-V3", "own head, two blocks without experts, one block more stored",
        **_UNTIED, **_DEEPSEEK, q_lora_rank=24, first_k_dense_replace=2, as_stored=_deepseek_as_published,
    ),
    _llama_like(
        "DeepSeek-V3", "own head, queries not compressed",
        **_UNTIED, **_DEEPSEEK, q_lora_rank=None, first_k_dense_replace=0, attention_bias=True,
    ),
    Case(family="GPT-2", layout="tied head", settings=_GPT2, after_blocks="transformer.ln_f"),
    Case(
        family="GPT-2", layout="tied head, bare names, causal masks stored",
        settings=_GPT2, as_stored=_gpt2_as_published, after_blocks="transformer.ln_f",
    ),
    Case(
        family="GPT-2", layout="own head, bare names, depth as num_hidden_layers",
        settings={**_GPT2, **_UNTIED}, in_file={"n_layer": None, "num_hidden_layers": NUM_BLOCKS},
        as_stored=_without("transformer."), after_blocks="transformer.ln_f",
    ),
    Case(
        family="GPT-NeoX", layout="tied head, sequential blocks",
        settings={**_SHARED, **_TIED, "use_parallel_residual": False}, after_blocks="gpt_neox.final_layer_norm",
    ),
    Case(
        family="GPT-NeoX", layout="own head, causal masks and rotary frequencies stored",
        settings={**_SHARED, **_UNTIED}, as_stored=_pythia_as_published, after_blocks="gpt_neox.final_layer_norm",
    ),
    Case(
        family="OPT", layout="tied head",
        settings={**_SHARED, **_TIED, "ffn_dim": 48}, after_blocks="model.decoder.final_layer_norm",
    ),
    Case(
        family="OPT", layout="tied head, bare names, norms after, narrow embedding",
        settings={**_SHARED, **_TIED, "ffn_dim": 48, "do_layer_norm_before": False, "word_embed_proj_dim": 16},
        as_stored=_without("model."), after_blocks="model.decoder.project_out",
    ),
    Case(
        family="OPT", layout="own head",
        settings={**_SHARED, **_UNTIED, "ffn_dim": 48}, after_blocks="model.decoder.final_layer_norm",
    ),
    Case(family="BLOOM", layout="tied head", settings=_BLOOM, after_blocks="transformer.ln_f"),
    Case(
        family="BLOOM", layout="tied head, bare names, norms before what is added to",
        settings={**_BLOOM, "apply_residual_connection_post_layernorm": True}, as_stored=_without("transformer."),
        after_blocks="transformer.ln_f",
    ),
    Case(
        family="Falcon", layout="tied head, one pair of keys and values",
        settings=_FALCON, after_blocks="transformer.ln_f",
    ),
    Case(
        family="Falcon", layout="tied head, distances as biases, sequential blocks, maps with biases",
        settings={**_FALCON, "alibi": True, "parallel_attn": False, "multi_query": False, "bias": True},
        after_blocks="transformer.ln_f",
    ),
    Case(
        family="Falcon", layout="own head, two norms a block",
        settings={**_FALCON, **_UNTIED, "new_decoder_architecture": True, "num_kv_heads": 2},
        after_blocks="transformer.ln_f",
    ),
    Case(
        family="T5", stack="encoder", layout="own head, two maps to read with, decoder of two blocks",
        settings={**_T5, **_UNTIED, "num_decoder_layers": 2, "feed_forward_proj": "gated-gelu"},
        after_blocks="encoder.final_layer_norm",
    ),
    Case(
        family="T5", stack="decoder", layout="tied head, decoder as deep as its encoder",
        settings=_T5, in_file={"num_decoder_layers": None}, after_blocks="decoder.final_layer_norm",
    ),
    Case(
        family="T5", stack="decoder", layout="own head, two maps to read with",
        settings={**_T5, **_UNTIED, "num_decoder_layers": NUM_BLOCKS, "feed_forward_proj": "gated-gelu"},
        after_blocks="decoder.final_layer_norm",
    ),
    Case(family="BART", stack="encoder", layout="tied head", settings=_BART, after_blocks=""),
    Case(
        family="BART", stack="decoder", layout="tied head, depth of its encoder as num_hidden_layers too",
        settings=_BART, in_file={"num_hidden_layers": NUM_BLOCKS}, after_blocks="",
    ),
    Case(
        family="Whisper", stack="encoder", layout="tied head", settings=_WHISPER,
        after_blocks="model.encoder.layer_norm",
    ),
    Case(
        family="Whisper", stack="decoder", layout="tied head, depth of its encoder as num_hidden_layers too",
        settings=_WHISPER, in_file={"num_hidden_layers": NUM_BLOCKS}, after_blocks="model.decoder.layer_norm",
    ),
    Case(
        family="Falcon", layout="own head, one norm a block",
        settings={
            **_FALCON, **_UNTIED, "new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1,
        },
        after_blocks="transformer.ln_f",
    ),
    _llava("LLaVA around Llama", "own head, as published", _UNTIED, as_stored=_llava_as_published),
    _llava("LLaVA around Llama", "tied head, as transformers 5 saves it", _TIED, vision_feature_layer=[-2, -1]),
    _llava("LLaVA around Llama", "own head, named as in the model", _UNTIED, as_stored=_llava_as_in_model),
    _llava("LLaVA around Mistral", "own head, sliding window", {**_UNTIED, "sliding_window": WINDOW}),
    _llava(
        "LLaVA around Qwen2", "tied head, SigLIP, window from block 3 on",
        {**_TIED, **_SLIDING, "max_window_layers": 3}, _SIGLIP, vision_feature_select_strategy="full",
    ),
    _llava("LLaVA-NeXT around Llama", "own head, as published", _UNTIED, **_PINPOINTS, as_stored=_llava_as_published),
    _llava(
        "LLaVA-NeXT around Mistral", "own head, named as in the model",
        _UNTIED, **_PINPOINTS, as_stored=_llava_as_in_model,
    ),
    _llava(
        "LLaVA-NeXT around Qwen2", "own head, listed kinds",
        {**_UNTIED, **_SLIDING, "layer_types": MIXED}, **_PINPOINTS,
    ),
    _qwen_vl(
        "Qwen2-VL", "own head, as published, window from block 3 on", _QWEN_VISION,
        {**_SLIDING, "max_window_layers": 3}, **_UNTIED, in_file={"layer_types": None}, config_as_stored=_flat,
    ),
    _qwen_vl("Qwen2-VL", "tied head, as transformers 5 saves it", _QWEN_VISION, {}, **_TIED),
    _qwen_vl(
        "Qwen2-VL", "own head, named as in the model, listed kinds", _QWEN_VISION,
        {**_SLIDING, "layer_types": MIXED}, **_UNTIED, as_stored=_qwen_as_in_model,
    ),
    _qwen_vl("Qwen2.5-VL", "tied head, as published", _QWEN_5_VISION, {}, **_TIED, config_as_stored=_flat),
    _qwen_vl(
        "Qwen2.5-VL", "own head, named as in the model, config in both forms", _QWEN_5_VISION,
        {**_SLIDING, "layer_types": MIXED}, **_UNTIED, as_stored=_qwen_as_in_model, config_as_stored=_flat_too,
    ),
    _seeing(
        "Gemma 3 with vision", "tied head, as published", {**_SHARED, **_GEMMA}, {**_SIGLIP, "patch_size": 2},
        **_TIED, **_GEMMA_IMAGE, as_stored=_renamed(("vision_tower.", "vision_tower.vision_model.")),
    ),
    _seeing(
        "Gemma 3 with vision", "tied head, as transformers 5 saves it, listed kinds",
        {**_SHARED, **_GEMMA, "layer_types": MIXED}, {**_SIGLIP, "patch_size": 2}, **_TIED, **_GEMMA_IMAGE,
    ),
)  # fmt: skip
"""At least one of each family."""


def _looking(case: Case) -> Case:
    """The same checkpoint with as many vision blocks as others have, to be cut there."""
    name, _, text = case.family.partition(" around ")
    vision = dict(case.settings["vision_config"])
    vision["depth" if "depth" in vision else "num_hidden_layers"] = NUM_BLOCKS
    if "fullatt_block_indexes" in vision:
        vision |= {"fullatt_block_indexes": [1, 4], "window_size": 8}
    layout = f"around {text}, {case.layout}" if text else case.layout
    return replace(
        case, family=name, stack="vision", layout=layout, settings={**case.settings, "vision_config": vision}
    )


LOOKING = (
    *(_looking(case) for case in CASES if case.data.section),
    _looking(
        _llava(
            "LLaVA around Llama", "own head, SigLIP with its head, states from both ends and between", _UNTIED,
            {**_SIGLIP, "vision_use_head": True}, vision_feature_select_strategy="full",
            vision_feature_layer=[0, 3, -3, -1],
        )
    ),
    _looking(_llava("LLaVA around Llama", "own head, state 4", _UNTIED, vision_feature_layer=4)),
)  # fmt: skip
"""Vision stacks, in every layout of the above."""
