"""Fuzzed inputs of everything that lorp reads: taken or refused, nothing else, and in bounded memory."""

from pathlib import Path

from children import child
from fuzzing import batch
from rows import trials

#: Of a batch, and of the slice's: of the kinds that are counted each by itself, and of all others.
_INPUTS, _FEW = (2_000, 750), (330, 170)
#: Of memory, in MB: beyond what a process has that has read what is sound.
_MORE = 200


def test_whatever_is_broken_is_taken_or_refused(filled_home: Path, pico: Path) -> None:
    tried = trials("fuzz")
    for number in tried.left():
        with tried.trial(number) as figures:
            num_inputs = _FEW if tried.is_slice else _INPUTS
            found = child(batch, str(filled_home), str(pico), number, *num_inputs, environment={}).end().whole()
            counts, kinds = found["counts"], {kind: found["counts"][kind] for kind in found["kinds"]}
            figures.update(
                {
                    "inputs": counts["accepted"] + counts["refused"],
                    **kinds,
                    "taken": counts["accepted"],
                    "refused": counts["refused"],
                    "untyped errors": len(found["faults"]),
                    "peak": found["peak"],
                }
            )
            assert not found["faults"], "\n".join(found["faults"])
            assert sum(kinds.values()) >= num_inputs[0]
            assert counts["accepted"] + counts["refused"] >= sum(num_inputs)
            assert not found["one-sided"], "these only took, or only refused: " + ", ".join(found["one-sided"])
            assert found["peak"] < _MORE
