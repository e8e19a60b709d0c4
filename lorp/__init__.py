"""lorp: depth pruning of large language models, without training, behind a gate.

This package is the method alone: numbers, models, checkpoints on a local disk and Parquet tables in memory.
The outside world (object store, registry, orchestration) is in `tasks`, composition and the command line in `flows`.
"""

__version__ = "0.1.0"
