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
    "full_disk": Row(
        title="A disk that fills up at any point of a run, at two levels a trial: one line that says so, nothing "
        "half-written accepted, and the undisturbed verdict from the same command once there is room",
        slice=1,
        bench=5,
        full=30,
    ),
    "soak": Row(
        title="A soak of 30 minutes: checkpoints arrive, a schedule looks for them, aliases are moved, while workers, "
        "runs, servers, S3 and promotions are killed: nothing lost, nothing left, one version and entry a checkpoint",
        slice=0,
        bench=1,
        full=4,
        peaks=tuple(f"{kind} {what}" for kind in ("up", "leash", "worker", "server") for what in ("RSS", "growth")),
        units={
            **{f"{kind} RSS": " MB" for kind in ("up", "leash", "worker", "server")},
            **{f"{kind} growth": " MB/h" for kind in ("up", "leash", "worker", "server")},
        },
    ),
}


def trials(name: str) -> Trials:
    """Trials of a row."""
    return Trials(name, ROWS[name])
