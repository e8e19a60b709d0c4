"""Hostile checkpoints: nothing of theirs runs, and each is refused by name, or is harmless once it is in the store."""

import re
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jobs
from children import child
from hostile import CASES, Hostile
from rows import trials

#: Of memory, in bytes: beyond what a process has that has taken a sound checkpoint.
_MORE = 1_000_000_000


def test_nothing_runs_and_all_that_is_unsound_is_refused_by_name(pico: Path) -> None:
    tried = trials("hostile")
    for number in tried.left():
        with tried.trial(number) as figures:
            names = list(CASES)[:: 2 if tried.is_slice else 1]
            told = child(_take_all, str(pico), names, environment={}).end().whole()
            faults = {name: fault for name, outcome in told["outcomes"].items() if (fault := _fault(name, outcome))}
            refused = sum(outcome["said"] is not None for outcome in told["outcomes"].values())
            figures.update(
                {
                    "checkpoints": len(names),
                    "refused": refused,
                    "harmless": len(names) - refused,
                    "ran code": sum(outcome["ran"] for outcome in told["outcomes"].values()),
                    "peak": told["peak"] / 1e6,
                }
            )
            assert not faults, "\n".join(f"{name}: {fault}" for name, fault in faults.items())
            assert told["peak"] < _MORE


def _fault(name: str, outcome: dict[str, Any]) -> str | None:
    """Why what came of a checkpoint should not have."""
    case, said = CASES[name], outcome["said"]
    if outcome["ran"]:
        return "its code ran"
    if case.says is None:
        return said or next((f"{each} is stored" for each in case.stored if each in outcome["stored"]), None)
    if said is None:
        return "it was taken"
    if outcome["stored"]:
        return f"it left {outcome['stored']}"
    if "LorpError" not in outcome["kinds"] or not said.isprintable():
        return f"refused by {outcome['kinds'][0]}: {said}"
    return None if re.search(case.says, said) else f"it says {said!r}"


def _take_all(pico: str, names: list[str]) -> dict[str, Any]:
    """What comes of each checkpoint, one after the other, and how much memory all of them took."""
    with tempfile.TemporaryDirectory() as folder:
        _take(Path(pico), Path(folder) / "sound", Hostile(spoil=lambda *_: None, says=None))
        before = _resident()
        outcomes = {
            name: _take(Path(pico), Path(folder) / f"case-{number}", CASES[name]) for number, name in enumerate(names)
        }
        return {"outcomes": outcomes, "peak": _resident() - before}


def _take(pico: Path, place: Path, case: Hostile) -> dict[str, Any]:
    """Fetches a checkpoint as a job does, and its tokenizer where it is taken."""
    from lorp.models import load_tokenizer
    from tasks.fetch import fetch_request, source_num_blocks
    from tasks.stage import run_stage
    from tasks.store import FolderStore
    from tasks.vault import Vault

    mark, source = place / "mark", place / "in" / "checkpoint"
    shutil.copytree(pico, source)
    given = case.spoil(source, mark) or source
    vault = Vault(FolderStore(place / "store"))
    said, kinds = None, ["none"]
    try:
        source_num_blocks(str(given))
        done = run_stage(vault, fetch_request(str(given), "float32"))
        load_tokenizer(vault.folder(done.outputs["checkpoint"]))
    except Exception as fault:  # whatever it is, it is looked at
        said, kinds = str(fault), [kind.__name__ for kind in type(fault).__mro__]
    folders = ("checkpoints", "values", "stages", "quarantine")
    stored = [part for kind in folders for key in vault.store.keys(kind) for part in key.split("/")]
    shutil.rmtree(place / "store", ignore_errors=True)
    return {"said": said, "kinds": kinds, "ran": mark.exists(), "stored": stored}


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


#: What is harmless by itself, all at once.
_TOGETHER = (
    "pickle beside safetensors", "code files", "tokenizer of a class of its own",
    "template that reaches Python, in chat_template.jinja", "template that reaches Python, in tokenizer_config.json",
)  # fmt: skip
_SCRIPT = "<script>alert(1)</script>"


def test_a_whole_run_over_what_is_hostile_runs_nothing_of_it_and_shows_none_of_its_markup(
    pico_copy: Path, filled_home: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    for name in _TOGETHER:
        CASES[name].spoil(pico_copy, mark)
    (pico_copy / "LICENSE").write_text(f"{_SCRIPT}\x1b[2J")
    (pico_copy / "README.md").write_text(f"---\nlicense: {_SCRIPT}\n---\n{_SCRIPT}")
    home = Path(shutil.copytree(filled_home, tmp_path / "home"))
    text = tmp_path / f"{_SCRIPT.replace('/', '_')}.txt"
    text.write_text(f"{_SCRIPT} {{{{ 7 * 7 }}}} **bold** \x1b[31m words that are read.\n\n" * 400)
    environment = {"LORP_HOME": str(home), "MLFLOW_TRACKING_URI": None}
    told = child(_recompress, str(pico_copy), str(text), environment=environment).end().whole()
    assert not mark.exists()
    assert "<script>" not in told["report"] + told["card"]
    assert not {"pytorch_model.bin", "modeling_evil.py", "README.md.py"} & set(told["files"])


def _recompress(source: str, text: str) -> dict[str, Any]:
    from tasks.vault import open_vault
    from tasks.workspace import workspace

    evaluation = {**jobs.RECIPE["evaluation"], "corpora": [text]}
    results, stages, spec = jobs.judged(Path(source), name="hostile", evaluation=evaluation)
    vault = open_vault(workspace().store)
    report, card = jobs.pages(vault, spec, results, stages)
    files = [file.name for file in results.candidate.variant.files]
    return {"report": report, "card": card, "files": files}
