"""Names of corpora on the hub, in the protocol of arXiv 2605.27786: 128 windows of 2,048 tokens, seed 0.

C4's rows are documents, and windows are cut from those that are long enough. WikiText-2's and PTB's rows are lines:
they are joined, and windows are cut from stretches of the joined text. Calibration takes the training split. Evaluation
takes what is held out there, in windows of 2,048 tokens too, as many as there is surely text for.

C4 and WikiText-2 are pinned to commits. PTB's own repository is code, which is not run: its text is on the branch where
the hub keeps a Parquet conversion, and the branch's commit is looked up and recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Use = Literal["calibration", "evaluation"]

WINDOW_TOKENS = 2048

_C4 = "hf://datasets/allenai/c4@1588ec454efa1a09f29cd18ddd04fe05fc8653a2/en"
_WIKITEXT2 = "hf://datasets/Salesforce/wikitext@b08601e04326c79dfdd32d625aee71d232d685c3/wikitext-2-raw-v1"
_PTB = "hf://datasets/ptb-text-only/ptb_text_only@refs/convert/parquet"


@dataclass(frozen=True, kw_only=True)
class _Part:
    corpora: tuple[str, ...]
    num_windows: int


PRESETS: Mapping[str, Mapping[Use, _Part]] = {
    "c4": {
        "calibration": _Part(corpora=(f"{_C4}:train",), num_windows=128),
        "evaluation": _Part(corpora=(f"{_C4}:validation",), num_windows=128),
    },
    "wikitext2": {
        "calibration": _Part(corpora=(f"{_WIKITEXT2}:train#text,joined",), num_windows=128),
        "evaluation": _Part(corpora=(f"{_WIKITEXT2}:test#text,joined",), num_windows=64),
    },
    "ptb": {
        "calibration": _Part(corpora=(f"{_PTB}:train#sentence,joined",), num_windows=128),
        "evaluation": _Part(
            corpora=(f"{_PTB}:test#sentence,joined", f"{_PTB}:validation#sentence,joined"), num_windows=48
        ),
    },
}


def with_presets(values: Any, use: Use) -> Any:
    """A spec's values with presets' names replaced by what they stand for; what else is given stays."""
    corpora = values.get("corpora") if isinstance(values, Mapping) else None
    if not isinstance(corpora, (list, tuple)) or not all(isinstance(name, str) for name in corpora):
        return values
    parts = [PRESETS[name][use] for name in corpora if name in PRESETS]
    if not parts:
        return values
    expanded = [PRESETS[name][use].corpora if name in PRESETS else (name,) for name in corpora]
    return {
        "num_windows": parts[0].num_windows,
        "window_tokens": WINDOW_TOKENS,
        **values,
        "corpora": tuple(address for addresses in expanded for address in addresses),
    }
