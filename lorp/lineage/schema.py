"""A lineage record held against in-toto's and SLSA's own schemas, as their maintainers publish them."""

import json

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement_pb2 import Statement

from lorp.lineage.record import PREDICATE_TYPE, STATEMENT_TYPE


def schema_fault(data: bytes) -> str | None:
    """What in a statement's bytes these schemas do not allow; None if they allow all of it.

    Args:
        data: JSON of an in-toto Statement v1 with a SLSA provenance v1 predicate.
    """
    try:
        statement = json_format.Parse(data, Statement())
        provenance = json_format.ParseDict(json.loads(data)["predicate"], Provenance())
    except (json_format.ParseError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as fault:
        return f"{type(fault).__name__}: {fault}".splitlines()[0]
    needed = {
        "_type": statement.type == STATEMENT_TYPE,
        "predicateType": statement.predicate_type == PREDICATE_TYPE,
        "subject": statement.subject and all(subject.digest for subject in statement.subject),
        "buildType": provenance.build_definition.build_type,
        "externalParameters": provenance.build_definition.HasField("external_parameters"),
        "builder.id": provenance.run_details.builder.id,
    }
    return next((f"{name} is missing or wrong" for name, fine in needed.items() if not fine), None)
