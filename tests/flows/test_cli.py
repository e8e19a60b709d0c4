"""The command line: help that answers, errors in one line with what to do, nothing half-written."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from oracle import oracle_plan
from pico import edit_json
from support import PICO_OPTIONS, Lorp, Result
from typer.main import get_command

from flows.cli import app
from flows.planning import plan_offline
from lorp.corpus.address import is_hub, parse_hub, parse_local
from lorp.corpus.media import MEDIUM_KINDS
from lorp.errors import SimilarityError
from lorp.plan import Stack
from lorp.spec import CalibrationSpec, EvaluationSpec, PruningSpec, RecompressSpec

ROOT = Path(__file__).parents[2]


def assert_refused(done: Result, *words: str, status: int = 2) -> None:
    """One line on standard error that holds the words, nothing on standard output."""
    lines = done.err.strip().splitlines()
    assert done.status == status, done.err
    assert done.out == ""
    assert lines[-1].startswith("lorp: ")
    assert not any("Traceback" in line or line.startswith("lorp: ") for line in lines[:-1])
    for word in words:
        assert word in lines[-1]


def assert_nothing_made(home: Path) -> None:
    assert not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("command", [[], *([name] for name in get_command(app).commands)], ids=str)
def test_help_teaches_every_option(command: list[str], lorp: Lorp) -> None:
    done = lorp(*command, "--help")
    assert done.status == 0
    assert "Usage" in done.out


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, flows.cli; flows.cli.run(['recompress', '--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "prefect", "mlflow", "sklearn", "numpy"} & set(done.stderr.split())


def test_every_command_says_what_it_does() -> None:
    assert all(command.help for command in get_command(app).commands.values())


def test_every_option_says_what_it_means() -> None:
    for command in get_command(app).commands.values():
        assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def test_options_that_do_not_go_together_are_said_without_all_that_was_asked(lorp: Lorp) -> None:
    done = lorp("recompress", "no-model", "--capture-mode=streamed", "--speed-rounds=3")
    assert_refused(done, "that together is not allowed", "give --speed-rounds 0")
    assert len(done.err) < 200


def test_help_names_every_stack_and_every_kind_of_pairs() -> None:
    for name in ("recompress", "sweep"):
        said = {each.name: str(getattr(each, "help", "")) for each in get_command(app).commands[name].params}
        assert all(f",{kind}" in said["pairs"] for kind in MEDIUM_KINDS)
        assert all(stack in said["stack"] for stack in get_args(Stack))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/folder", "--remove=2"], ["no /no/such/folder"]),
        (["pico", "--remove=0"], ["0 of 6 blocks", "1 to 4"]),
        (["pico", "--remove=5"], ["5 of 6 blocks", "1 to 4"]),
        (["pico", "--remove=-1"], ["-1 of 6 blocks"]),
        (["pico", "--remove=1.5"], ["1.5 is no share"]),
        (["pico", "--remove=nan"], ["nan is no share"]),
        (["pico", "--remove=many"], ["'many' is no number"]),
        (["pico", "--method=lorp,magic"], ["magic"]),
        (["--remove=2"], ["source"]),
        (["pico", "--remove=2", "--method=magic"], ["magic", "shortgpt"]),
        (["pico", "--remove=2", "--max-perplexity-ratio=0"], ["max_perplexity_ratio"]),
        (["pico", "--remove=2", "--max-perplexity-ratio=nan"], ["max_perplexity_ratio"]),
        (["pico", "--remove=2", "--max-perplexity-ratio=high"], ["--max-perplexity-ratio"]),
        (["pico", "--remove=2", "--confidence=95"], ["confidence"]),
        (["pico", "--remove=2", "--evaluation-windows=29"], ["29", "at least 30"]),
        (["pico", "--remove=2", "--max-repetition-increase=0.1", "--generation-prompts=29"], ["29 prompts", "30"]),
        (["pico", "--remove=2", "--max-accuracy-drop=0.1", "--tasks=none"], ["0 questions", "--tasks"]),
        (["pico", "--remove=2", "--max-accuracy-drop=0.1", "--limit=29"], ["29 questions", "--limit"]),
        (["pico", "--remove=2", "--tasks=/no/file.jsonl"], ["/no/file.jsonl"]),
        (["pico", "--remove=2", "--tasks=continuation,continuation"], ["repeat one"]),
        (["pico", "--remove=2", "--tasks="], ["name none"]),
        (["pico", "--remove=2", "--min-speedup=1", "--confidence=0.99", "--speed-rounds=6"], ["at least 7"]),
        (["pico", "--remove=2", "--tracking-uri=http://alice:hunter2@host"], ["http://host names a user", "PASSWORD"]),
        (["pico", "--remove=2", "--max-repetition-increase=1.1"], ["max_repetition_increase"]),
        (["pico", "--remove=2", "--min-speedup=1", "--speed-rounds=4"], ["4 rounds", "--speed-rounds"]),
        (["pico", "--remove=2", "--max-memory-ratio=1", "--speed-rounds=0"], ["0 rounds"]),
        (["pico", "--remove=2", "--generation-tokens=3"], ["max_new_tokens"]),
        (["pico", "--remove=2", "--calibration-windows=0"], ["num_windows"]),
        (["pico", "--remove=2", "--calibration=/no/text.txt"], ["no text file /no/text.txt"]),
        (["pico", "--remove=2", "--device=quantum"], ["quantum", "--device"]),
        (["pico", "--remove=2", "--store=/dev/null/store"], ["/dev/null/store", "cannot be written", "--store"]),
        (["pico", "--remove=2", "--store=gopher://x"], ["gopher://"]),
        (["pico", "--remove=2", "--name=../../etc"], ["name"]),
        (["pico", "--remove=2", "--config=/no/job.yaml"], ["/no/job.yaml"]),
        (["pico", "--remove=2", "--frobnicate"], ["--frobnicate"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] != "pico" else None,
)
def test_bad_input_is_refused_in_one_line_before_anything_is_made(
    lorp: Lorp, pico: Path, home: Path, arguments: list[str], words: list[str]
) -> None:
    given = [str(pico) if argument == "pico" else argument for argument in arguments]
    assert_refused(lorp("recompress", *given), *words)
    assert_nothing_made(home)


@pytest.mark.parametrize("content", [b"", b" \n\n \n", b"\xff\xfe\x00text"], ids=["empty", "blank", "not UTF-8"])
def test_text_that_is_none_is_refused(lorp: Lorp, pico: Path, home: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    done = lorp("recompress", pico, "--remove=2", f"--evaluation={tmp_path / 'text.txt'}")
    assert_refused(done, "text")
    assert_nothing_made(home)


@pytest.mark.usefixtures("prefect_server")
def test_evaluation_text_of_one_document_is_refused_before_any_work(
    lorp: Lorp, pico: Path, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("One short document.")
    done = lorp("recompress", pico, "--remove=2", f"--evaluation={tmp_path / 'text.txt'}")
    assert_refused(done, "one document", "--evaluation")
    assert_nothing_made(home)


def test_too_little_text_says_how_much_there_is(lorp: Lorp, pico: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A text of two stretches. " * 340 + "\n\n" + "A short end. " * 3)
    done = lorp(
        "recompress",
        pico,
        "--remove=2",
        f"--evaluation={tmp_path / 'text.txt'}",
        *PICO_OPTIONS,
        "--evaluation-windows=400",
    )
    assert_refused(done, "too little text", "windows of 32 tokens", "400 are asked for")


def test_a_spoilt_checkpoint_is_refused(lorp: Lorp, pico_copy: Path, home: Path) -> None:
    edit_json(pico_copy / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"})
    assert_refused(lorp("recompress", pico_copy, "--remove=2"), "auto_map")
    edit_json(pico_copy / "config.json", auto_map=None, model_type="bert", architectures=["BertForMaskedLM"])
    assert_refused(lorp("recompress", pico_copy, "--remove=2"), "bert", "known: Llama, Mistral")
    assert_nothing_made(home)


def test_a_file_that_is_no_model_is_refused(lorp: Lorp, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"no model")
    assert_refused(lorp("recompress", tmp_path / "model.gguf", "--remove=2"), "neither a folder nor a GGUF file")
    (tmp_path / "model.gguf").write_bytes(b"GGUF and then nothing")
    assert_refused(lorp("recompress", tmp_path / "model.gguf", "--remove=2"), "no readable GGUF file")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("calibration: []", "calibration"),
        ("calibration: [[a]]", "calibration"),
        ("remove: [1, 2]", "remove"),
        ("removed: 3", "removed"),
        ("- remove", "mapping"),
        ("remove: {", "YAML"),
        ("limit: 50\nremove: [1", "line 2: expected ','"),
        ("remove: !!int x", "YAML"),
        ("calibration: a.txt\ncalibration: b.txt", "line 2: calibration is given twice"),
        ("max-perplexity-ratio: 1.2\nmax_perplexity_ratio: 9", "max_perplexity_ratio is given twice"),
        ("calibration: [a.txt, null]", "calibration"),
        ("calibration: [null]", "calibration"),
        ("tasks: [copa, piqa]", "'tasks: copa,piqa'"),
    ],
)
def test_a_bad_configuration_is_refused(lorp: Lorp, pico: Path, tmp_path: Path, content: str, word: str) -> None:
    (tmp_path / "job.yaml").write_text(content)
    assert_refused(lorp("recompress", pico, "--config", tmp_path / "job.yaml"), word)


def test_a_configurations_values_are_what_was_typed(lorp: Lorp, asked: list[RecompressSpec], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: 2024-13-45\nremove: 3\nlimit: 0100\ncalibration: ~\nmax-perplexity: 1.5")
    done = lorp("recompress", "pico", "--config", tmp_path / "job.yaml")
    assert done.status == 0, done.err
    assert (asked[0].name, asked[0].pruning.remove, asked[0].tasks.limit) == ("2024-13-45", 3, 100)
    assert asked[0].gate.max_perplexity == 1.5


def test_a_registry_that_is_not_there_is_said_before_hours_of_work(lorp: Lorp, pico: Path) -> None:
    done = lorp("recompress", pico, "--remove=2", "--tracking-uri=sqlite:////dev/null/mlflow.db")
    assert_refused(done, "--tracking-uri", status=1)


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    half = rng.integers(20, 64, size=(12, 12)) / 64
    similarity = np.tril(half, -1) + np.tril(half, -1).T + np.eye(12)
    np.save(tmp_path / "similarity.npy", similarity)
    return tmp_path / "similarity.npy"


@pytest.mark.parametrize("method", ["lorp", "shortgpt", "streamline"])
def test_plans_without_a_model(lorp: Lorp, matrix: Path, method: str) -> None:
    done = lorp("plan", "--similarity", matrix, "--remove=1,3,5", "--method", method, "--json")
    planned = json.loads(done.out)
    assert done.status == 0
    assert set(planned) == {"rls", "num_clusters", "clusters", "plans"}
    assert sorted(block for members in planned["clusters"] for block in members) == list(range(12))
    assert planned["num_clusters"] == len(planned["clusters"])
    similarity, clusters = np.load(matrix).tolist(), planned["clusters"]
    expected = [oracle_plan(method, similarity, clusters, count) for count in (1, 3, 5)]
    assert planned["plans"] == [{"method": method, "removed": removed} for removed in expected]


def test_plans_of_several_methods_as_a_table(lorp: Lorp, matrix: Path) -> None:
    done = lorp("plan", "--similarity", matrix, "--remove=0.25", "--method=lorp,shortgpt")
    assert done.status == 0
    assert "RLS" in done.out
    assert "shortgpt" in done.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--remove=11"], "11 of 12"),
        (["--remove=1", "--method=magic"], "magic"),
        (["--remove=1", "--clusters=0"], "num_clusters"),
    ],
)
def test_plans_that_cannot_be_are_refused(lorp: Lorp, matrix: Path, arguments: list[str], word: str) -> None:
    assert_refused(lorp("plan", "--similarity", matrix, *arguments), word)


@pytest.mark.parametrize(
    "value", [np.eye(2), np.ones((3, 4)), np.full((4, 4), np.nan), -np.ones((4, 4)), np.array("x")]
)
def test_a_matrix_that_is_no_similarity_is_refused(lorp: Lorp, tmp_path: Path, value: np.ndarray) -> None:
    np.save(tmp_path / "bad.npy", value)
    assert_refused(lorp("plan", "--similarity", tmp_path / "bad.npy", "--remove=1"))


def test_a_pickled_matrix_is_never_loaded(lorp: Lorp, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", np.array([{"a": 1}]), allow_pickle=True)
    assert_refused(lorp("plan", "--similarity", tmp_path / "bad.npy", "--remove=1"), "cannot be read")


def test_a_matrix_in_another_format_is_called_no_npy_file(lorp: Lorp, tmp_path: Path) -> None:
    np.savetxt(tmp_path / "similarity.csv", np.eye(6), delimiter=",")
    done = lorp("plan", "--similarity", tmp_path / "similarity.csv", "--remove=1")
    assert_refused(done, "similarity.csv cannot be read: it is no .npy file. Give an .npy file")
    assert "pickle" not in done.err


def test_a_small_file_that_says_that_it_holds_terabytes_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "bad.npy"
    np.save(path, np.eye(6))
    path.write_bytes(path.read_bytes().replace(b"(6, 6), }" + b" " * 12, b"(600000, 600000), }  "))
    with pytest.raises(SimilarityError, match="cannot be read") as caught:
        plan_offline(path, [PruningSpec(remove=2, method=("shortgpt",))])
    assert not isinstance(caught.value.__context__, MemoryError)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RecompressSpec]:
    """The specs that commands come to; nothing is run."""
    specs: list[RecompressSpec] = []

    def recompress_all(given: list[RecompressSpec], *_: object) -> int:
        specs.extend(given)
        return 0

    monkeypatch.setattr("flows.command.recompress_all", recompress_all)
    return specs


def examples() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/corpora.md").read_text(), flags=re.DOTALL)
    return [line.removeprefix("lorp ") for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("command", examples())
def test_every_example_of_corpora_is_understood(lorp: Lorp, asked: list[RecompressSpec], command: str) -> None:
    done = lorp(*command.split())
    assert done.status == 0, done.err
    for part in (asked[0].calibration, asked[0].evaluation):
        for address in part.corpora:
            assert is_hub(address) == address.startswith("hf://datasets/")
            parse_hub(address) if is_hub(address) else parse_local(address)


def test_text_options_may_be_repeated_and_presets_bring_their_windows(lorp: Lorp, asked: list[RecompressSpec]) -> None:
    lorp("recompress", "pico", "--remove=2", "--calibration=a.txt", "--calibration=b.jsonl#c", "--evaluation=wikitext2")
    assert asked[0].calibration == CalibrationSpec(corpora=("a.txt", "b.jsonl#c"))
    assert asked[0].evaluation == EvaluationSpec(corpora=("wikitext2",))
    assert (asked[0].evaluation.num_windows, asked[0].evaluation.window_tokens) == (64, 2048)


@pytest.mark.parametrize(
    ("line", "corpora"),
    [
        ("calibration: a.txt", ("a.txt",)),
        ("calibration: [a.txt, 7]", ("a.txt", "7")),
        ("calibration:\n- a.txt\n- b", ("a.txt", "b")),
    ],
)
def test_a_configuration_may_list_text(
    lorp: Lorp, asked: list[RecompressSpec], tmp_path: Path, line: str, corpora: tuple[str, ...]
) -> None:
    (tmp_path / "job.yaml").write_text(line)
    done = lorp("recompress", "pico", "--remove=2", "--config", tmp_path / "job.yaml")
    assert done.status == 0, done.err
    assert asked[0].calibration.corpora == corpora
    lorp("recompress", "pico", "--remove=2", "--config", tmp_path / "job.yaml", "--calibration=c.txt")
    assert asked[1].calibration.corpora == ("c.txt",)


def test_what_fails_since_a_person_interrupted_it_is_an_interruption(
    lorp: Lorp, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise ConnectionError("the server has been interrupted too")

    monkeypatch.setattr("flows.production.workspace", interrupted)
    done = lorp("pull", "pico@1", "--to=model")
    assert (done.status, done.err) == (130, "lorp: interrupted; run the same command again to resume.\n")
