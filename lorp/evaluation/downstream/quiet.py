"""lm-eval and the libraries below it say nothing while they work for lorp."""

import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

_LOGGERS = ("lm_eval", "transformers", "datasets", "huggingface_hub")


@contextmanager
def quiet_harness() -> Iterator[None]:
    """Silences lm-eval's loggers, warnings and progress bars, and gives them back their voices."""
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            stack.enter_context(_silent(logging.getLogger(name)))
        stack.enter_context(_no_progress_bars())
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds the global random numbers, which some of lm-eval's tasks draw from, and puts back what was."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    import datasets
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    disabled = datasets.are_progress_bars_disabled(), are_progress_bars_disabled()
    datasets.disable_progress_bars()
    disable_progress_bars()
    try:
        yield
    finally:
        if not disabled[0]:
            datasets.enable_progress_bars()
        if not disabled[1]:
            enable_progress_bars()
