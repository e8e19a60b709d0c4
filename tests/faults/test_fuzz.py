"""Fuzzed inputs of everything that lorp reads: taken or refused, nothing else, and in bounded memory."""

from pathlib import Path

from children import child
from fuzzing import batch
from rows import trials

#: Of a batch, and of the slice's.
_INPUTS, _FEW = 2_000, 500


def test_whatever_is_broken_is_taken_or_refused(filled_home: Path, pico: Path) -> None:
    tried = trials("fuzz")
    for number in tried.left():
        with tried.trial(number) as figures:
            num_inputs = _FEW if tried.is_slice else _INPUTS
            found = child(batch, str(filled_home), str(pico), number, num_inputs, environment={}).end().whole()
            counts = found["counts"]
            figures.update(
                {
                    "inputs": num_inputs,
                    "taken": counts["accepted"],
                    "refused": counts["refused"],
                    "untyped errors": len(found["faults"]),
                    "peak": found["peak"],
                }
            )
            assert not found["faults"], "\n".join(found["faults"])
            assert counts["accepted"] + counts["refused"] == num_inputs
            assert counts["accepted"] > 0 < counts["refused"]
