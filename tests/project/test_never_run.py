"""What lorp reads is data: no call in its own code unpickles, evaluates, renders or fetches code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for part in ("lorp", "tasks", "flows") for path in (ROOT / part).rglob("*.py"))

#: Calls that load or run what others wrote, by how they end.
FORBIDDEN = {
    "torch.load", "torch.save", "torch.hub.load", "torch.jit.load", "yaml.load", "yaml.unsafe_load",
    "joblib.load", "shelve.open", "marshal.loads", "eval", "exec", "runpy.run_path",
    "importlib.util.spec_from_file_location",
}  # fmt: skip
#: The same by their own name alone, whatever they are called on.
FORBIDDEN_NAMES = {"apply_chat_template", "render_jinja_template", "read_pickle", "from_string"}


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def faults(call: ast.Call) -> Iterator[str]:
    """What is wrong with a call."""
    name = ast.unparse(call.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in FORBIDDEN or name.rpartition(".")[2] in FORBIDDEN_NAMES:
        yield name
    if name.endswith("np.load") and given.get("allow_pickle") != "False":
        yield "np.load without allow_pickle=False"
    if given.get("trust_remote_code", "False") != "False":
        yield "trust_remote_code"
    if given.get("shell", "False") != "False":
        yield "a shell"
    if name.endswith("Environment") and "SandboxedEnvironment" not in name and "loader" not in given:
        yield "templates that are none of lorp's own, outside a sandbox"


def found_in(path: Path) -> list[str]:
    return [f"line {call.lineno}: {fault}" for call in calls(path) for fault in faults(call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_evaluated_or_rendered(path: Path) -> None:
    assert found_in(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)", "np.load(path)", "np.load(path, allow_pickle=True)", "yaml.load(text, Loader)",
        "eval(text)",
        "tokenizer.apply_chat_template(messages)", "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "subprocess.run(words, shell=True)", "jinja2.Environment().from_string(text)",
    ],
)  # fmt: skip
def test_such_calls_are_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "module.py").write_text(line)
    assert found_in(tmp_path / "module.py")


def test_results_of_flows_and_tasks_are_plain_json() -> None:
    """Prefect would pickle them, and run what it unpickles."""
    from prefect import Flow, Task

    import flows.promote
    import flows.recompress
    import flows.reconcile
    import flows.rollback
    import flows.sweep
    import flows.watch
    import tasks.cache
    import tasks.register
    from tasks.cache import PLAIN_JSON

    modules = [flows.promote, flows.reconcile, flows.recompress, flows.rollback, flows.sweep, flows.watch]
    found = [
        each
        for module in (*modules, tasks.cache, tasks.register)
        for each in vars(module).values()
        if isinstance(each, Flow | Task)
    ]
    assert len(found) >= len(modules)
    stored = [each for each in found if each.persist_result is not False]
    assert len(stored) > len(modules)
    assert all(each.result_serializer == PLAIN_JSON for each in stored)


def test_every_flow_is_looked_at() -> None:
    decorated = {path.stem for path in SOURCES if "\n@flow(" in path.read_text()}
    assert decorated == {"promote", "reconcile", "recompress", "rollback", "sweep", "watch"}
