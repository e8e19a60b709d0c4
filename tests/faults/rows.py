"""The rows of the scorecard, in its order."""

from bench import Row, Trials

ROWS = {
    "kills": Row(
        title="SIGKILL before every effect of recompressing, promoting and rolling back, in a folder: nothing bad "
        "accepted, no second version or entry, only unfinished stages redone, the undisturbed verdict in the end",
        slice=1,
        bench=3,
        full=20,
    ),
    "fuzz": Row(
        title="Broken safetensors files, GGUF files, configs, plans, patches, stored values, manifests, ledgers, "
        "lineage records, specs, task files, pairs, captures, sounds and images: each is taken, or refused by an "
        "error of lorp's own in one printable line; memory stays bounded",
        slice=1,
        bench=50,
        full=500,
        peaks=("peak",),
        units={"peak": " MB"},
    ),
    "bad_evaluations": Row(
        title="Evaluations with NaN, infinity, missing or doubled windows, another model's numbers, another corpus or "
        "other questions, edited bytes, wrong types: refused by name or rejected, never approved",
        slice=1,
        bench=10,
        full=100,
    ),
    "hostile": Row(
        title="Hostile checkpoints (pickle, code, templates, links, pipes, names that lead elsewhere, giant and "
        "twisted headers, NaN, terabyte shapes, absurd configs, GGUF without end): nothing runs, all that is unsound "
        "is refused by name and leaves nothing in the store",
        slice=1,
        bench=3,
        full=20,
        peaks=("peak",),
        units={"peak": " MB"},
    ),
}


def trials(name: str) -> Trials:
    """Trials of a row."""
    return Trials(name, ROWS[name])
