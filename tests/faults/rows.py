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
    "kills_s3": Row(
        title="SIGKILL before every effect of recompressing in a bucket, uploads in parts among them: the same",
        slice=1,
        bench=3,
        full=20,
    ),
    "races": Row(
        title="Eight processes start the same run at once, half of the times as eight machines with S3 and an MLflow "
        "server, some of them killed: one version, one ledger entry, one run, equal outcomes",
        slice=1,
        bench=10,
        full=50,
    ),
    "answers_lost": Row(
        title="The answer to every PUT, POST and DELETE of a run in a bucket is lost once, uploads in parts too: no "
        "false conflict, no upload left, everything as undisturbed",
        slice=1,
        bench=30,
        full=300,
    ),
    "failing_calls": Row(
        title="A fifth of the S3 calls of a run fails or is slow: it ends as undisturbed, or with a typed error and as "
        "undisturbed the next time; nothing half-done is left",
        slice=1,
        bench=10,
        full=50,
    ),
    "failing_registry": Row(
        title="The answer to every POST to an MLflow server is lost once, or a fifth of the calls fails: one version "
        "and one run, at once or, after a typed error, the next time",
        slice=0,
        bench=10,
        full=50,
    ),
}


def trials(name: str) -> Trials:
    """Trials of a row."""
    return Trials(name, ROWS[name])
