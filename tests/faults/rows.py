"""The rows of the scorecard, in its order."""

from bench import Row, Trials


def _costs(*names: str) -> tuple[str, ...]:
    """Seconds of each, and memory."""
    return tuple(f"{name}{what}" for name in names for what in ("", " memory"))


def _units(costs: tuple[str, ...]) -> dict[str, str]:
    return {name: " MB" if name.endswith("memory") else " s" for name in costs}


_STORE_COSTS = _costs("status", "audit", "gc", "gc delete")
_FOLDER_COSTS = (*(f"folder {name}" for name in _STORE_COSTS), *_costs("watch first look", "watch look"))
_LEDGER_COSTS = _costs("read", "status", "audit", "promote", "roll back")

ROWS = {
    "kills": Row(
        title="SIGKILL before every effect of recompressing, being rejected, gc --delete, promoting and rolling back, "
        "signed, in a folder; files of one folder take turns: nothing bad accepted, no second version or entry, only "
        "unfinished stages redone, the undisturbed verdict in the end",
        slice=1,
        bench=3,
        full=20,
    ),
    "kills_s3": Row(
        title="SIGKILL before every effect of recompressing in a bucket, uploads in parts among them; files of one "
        "folder and renamed ones take turns: the same, and neither an upload nor work in progress is left",
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
    "races": Row(
        title="Eight processes start the same run at once, half of the times as eight machines with S3 and an MLflow "
        "server, some of them killed: one version, one ledger entry, one run, equal outcomes",
        slice=1,
        bench=10,
        full=50,
    ),
    "full_disk": Row(
        title="A disk that fills up at any point of a run, at two levels a trial: one line that says so, nothing "
        "half-written accepted, and the undisturbed verdict from the same command once there is room",
        slice=1,
        bench=5,
        full=30,
    ),
    "clock": Row(
        title="A wall clock that jumps by hours and years at three of ten readings of it, through recompressing, "
        "promotion, rollback, gc and audit: the undisturbed state, a whole ledger, nothing removed",
        slice=1,
        bench=10,
        full=100,
    ),
    "clock_watch": Row(
        title="Checkpoints seen and runs failed under a clock that was wrong: each arrives, each is run again",
        slice=1,
        bench=20,
        full=200,
    ),
    "load_queue": Row(
        title="100 runs queued at once under a limit of 2, on a real server with two workers: each once, never "
        "more than 2 at once; 12 of them waited for, all with FULL=1",
        slice=0,
        bench=1,
        full=2,
        peaks=("at once", "slowest status", *(f"{kind} RSS" for kind in ("up", "leash", "worker", "server"))),
        units={
            "slowest status": " s",
            **{f"{kind} RSS": " MB" for kind in ("up", "leash", "worker", "server")},
        },
    ),
    "load_objects": Row(
        title="10,000 objects in a folder, 1,000 watched checkpoints: what status, audit, gc and a look take, and that "
        "it grows no faster than they do",
        slice=1,
        bench=1,
        full=3,
        peaks=_FOLDER_COSTS,
        units=_units(_FOLDER_COSTS),
    ),
    "load_bucket": Row(
        title="10,000 objects in a bucket: what status, audit and gc take, and that it grows no faster than they do",
        slice=0,
        bench=1,
        full=3,
        peaks=_STORE_COSTS,
        units=_units(_STORE_COSTS),
    ),
    "load_ledger": Row(
        title="A ledger of 10,000 entries: what reading, status, audit, promotion and rollback take, and that it grows "
        "no faster than it does",
        slice=1,
        bench=1,
        full=3,
        peaks=_LEDGER_COSTS,
        units=_units(_LEDGER_COSTS),
    ),
    "soak": Row(
        title="A soak of 30 minutes: checkpoints arrive, a schedule looks for them, aliases are moved, while workers, "
        "runs, servers, S3 and promotions are killed: nothing lost, one version and entry a checkpoint; no process, "
        "run, folder, upload or claim left; lorp's own processes that stay (up, leash) grow by less than 1 MB an hour "
        "once warm, and by no thread or file; how workers and servers grow, which are Prefect's and MLflow's, is told",
        slice=0,
        bench=1,
        full=4,
        peaks=tuple(f"{kind} {what}" for kind in ("up", "leash", "worker", "server") for what in ("RSS", "growth")),
        units={
            **{f"{kind} RSS": " MB" for kind in ("up", "leash", "worker", "server")},
            **{f"{kind} growth": " MB/h" for kind in ("up", "leash", "worker", "server")},
        },
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
        peaks=("checkpoints", "refused", "harmless", "peak"),
        units={"peak": " MB"},
    ),
    "answers_lost": Row(
        title="The answer to every PUT, POST and DELETE of a run in a bucket is lost once, uploads in parts too: no "
        "false conflict, no upload left, everything as undisturbed",
        slice=1,
        bench=30,
        full=300,
    ),
    "failing_calls": Row(
        title="A fifth of the S3 calls of a run fails or is slow, in some trials slower than is waited for; in half of "
        "them the deadline is so short that runs fail: each ends as undisturbed, or with a typed error and as "
        "undisturbed the next time; nothing half-done is left",
        slice=1,
        bench=10,
        full=50,
    ),
    "failing_registry": Row(
        title="The answer to the first POST to each path of an MLflow server is lost, or a fifth of the calls fails: "
        "one version and one run, at once or, after a typed error, the next time",
        slice=0,
        bench=10,
        full=50,
    ),
}


def trials(name: str) -> Trials:
    """Trials of a row."""
    return Trials(name, ROWS[name])
