"""Settings of the libraries beneath, made before they are imported; whatever a person has set stays."""

import os

_DEFAULTS = {
    # No connections but those that a person asked for. The hub is asked for a source that is on it, and for nothing
    # else: every other use of its libraries is given local files only.
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # A first start of the in-process server takes longer than its own default allows.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # Errors are shown by the command line in one line; Prefect's own pages keep the full log.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "lorp",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
}


def apply() -> None:
    """Sets what is not set."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
