"""What cannot be done with a checkpoint, found before anything is computed."""

from lorp.architectures import check_stack
from lorp.architectures.blocks import num_used_of
from lorp.architectures.reading import SPEECH
from lorp.checkpoint import Checkpoint
from lorp.depth import check_count, resolve_count
from lorp.errors import SourceError, SpecError
from lorp.healing import check_healing
from lorp.spec import RecompressSpec
from lorp.streaming import check_streamable
from lorp.surgery import check_depths
from tasks.vault import Reference
from tasks.windows import are_pairs


def check_expected(spec: RecompressSpec, checkpoint: Reference) -> None:
    """Refuses a source that is not what it was when it was seen.

    Raises:
        SourceError: It is not.
    """
    if spec.sha256 is not None and spec.sha256 != checkpoint.sha256:
        raise SourceError(
            f"{spec.source} has changed since it was seen: its digest is {checkpoint.sha256}, and not {spec.sha256}",
            "A watcher sees it anew; by hand, leave sha256 out of the spec",
        )


def check_possible(checkpoint: Checkpoint, spec: RecompressSpec) -> None:
    """Refuses, before anything is computed, what cannot be done with this checkpoint.

    Raises:
        InputError: A count, a method, a healing, a length or a way to capture that it does not allow.
    """
    check_stack(checkpoint.family, spec.pruning.stack)
    check_count(spec.pruning.remove, checkpoint.num_blocks)
    check_depths(checkpoint, first_count(checkpoint, spec))
    check_context(checkpoint, spec)
    if spec.compute.capture_mode == "streamed":
        check_streamable(checkpoint)
    if spec.pruning.asks_trials or spec.pruning.remove == "auto" or spec.healing.method == "auto":
        num_used_of(checkpoint.family, checkpoint.config, checkpoint.num_blocks)
    method = spec.healing.method
    if method != "none" and method != "auto":  # noqa: PLR1714  # mypy follows the comparisons, and not a set
        check_healing(checkpoint, method)


def first_count(checkpoint: Checkpoint, spec: RecompressSpec) -> int:
    """Blocks that are removed, or at least one."""
    remove = spec.pruning.remove
    return 1 if remove == "auto" else resolve_count(remove, checkpoint.num_blocks)


def check_questions(spec: RecompressSpec) -> None:
    """Refuses tasks that the model cannot be asked.

    Raises:
        SpecError: They would have to be asked of text, and there are pairs.
    """
    if are_pairs(spec) and spec.tasks.tasks:
        raise SpecError("tasks are asked of text by itself, and these are pairs", "Give --tasks none")


def check_context(checkpoint: Checkpoint, spec: RecompressSpec) -> None:
    """Refuses windows longer than the model was made for: perplexity there means nothing.

    Raises:
        SpecError: They are.
    """
    writes = next(family for family in checkpoint.stacks if family.stack != "vision")
    settings = writes.settings_in(checkpoint.config)
    names = ("max_position_embeddings", "n_positions", "max_target_positions")
    context = next((settings[name] for name in names if name in settings), None)
    for what, (longest, option) in _lengths(checkpoint, spec).items():
        if isinstance(context, int) and longest > context:
            raise SpecError(
                f"{what} of {longest} tokens are longer than the model's context of {context}",
                f"Ask for fewer with {option}",
            )


def _lengths(checkpoint: Checkpoint, spec: RecompressSpec) -> dict[str, tuple[int, str]]:
    """The longest of what is read and written, in tokens, with the option that asks for it.

    An encoder reads a source by itself, and a sound takes no tokens.
    """
    generation, speed, family = spec.generation, spec.speed, checkpoint.family
    written, timed = generation.prompt_tokens + generation.max_new_tokens, speed.prefill_tokens + speed.decode_tokens
    if family.is_encoder_decoder:
        read = 0 if family.model_class == SPEECH else speed.prefill_tokens
        written, timed = generation.max_new_tokens, max(read, 1 + speed.decode_tokens)
    return {
        "windows": (max(spec.calibration.window_tokens, spec.evaluation.window_tokens), "--window-tokens"),
        "continuations": (generation.num_prompts and written, "--generation-tokens"),
        "timed prompts": (speed.repeats and timed, "--speed-tokens"),
    }
