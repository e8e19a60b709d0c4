"""The record of a run: an in-toto Statement whose predicate is SLSA provenance, and what every part of it means."""

from lorp.lineage.record import (
    BUILD_TYPE,
    FILES_DIGEST,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    STORE,
    Descriptor,
    LineageRecord,
    read_statement,
)

__all__ = [
    "BUILD_TYPE",
    "FILES_DIGEST",
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "STORE",
    "Descriptor",
    "LineageRecord",
    "read_statement",
]
