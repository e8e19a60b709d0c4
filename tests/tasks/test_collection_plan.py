"""What may go, as a pure function: whatever is stored and named, nothing that a kept manifest names goes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from lorp.digest import canonical_json, digest_value
from tasks.keeping import Inventory, Known, Plan, Root, own_digest, plan, read_manifest
from tasks.store.protocol import Stored
from tasks.usage import used_since

NOW = datetime(2026, 11, 25, tzinfo=UTC)
BEFORE = NOW - timedelta(days=31)
OLD, YOUNG = BEFORE.timestamp() - 1, BEFORE.timestamp() + 1


def digest(number: int) -> str:
    return digest_value(number)


def manifest(number: int, outputs: list[int], inputs: list[int], created: datetime) -> Known:
    body = {
        "stage": "plan", "key": f"plan-v1-{digest(-1 - number)}", "inputs": {"of": [digest(each) for each in inputs]},
        "outputs": {
            str(each): {"key": f"values/{digest(each)}.json", "sha256": digest(each), "bytes": 1, "files": []}
            for each in outputs
        },
        "versions": {}, "created": created.isoformat(), "seconds": 1.0,
    }  # fmt: skip
    known = read_manifest(canonical_json({"manifest": body, "sha256": digest_value(body)}))
    assert known
    return known


def inventory(known: list[Known], keys: dict[str, float]) -> Inventory:
    manifests = {f"stages/{each.manifest.key}.json": each for each in known}
    times = {**dict.fromkeys(manifests, OLD), **keys}
    stored = {key: Stored(bytes=1, changed=time, fingerprint=key) for key, time in times.items()}
    return Inventory(stored=stored, known=manifests)


def kept(found: Inventory, *names: int) -> Plan:
    roots = [
        Root(why="ledger", names=frozenset(map(digest, names))),
        Root(why="recent", names=frozenset().union(*(known.names for known in found.recent(BEFORE)))),
    ]
    return plan(found, roots, BEFORE)


small = st.integers(0, 15)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.lists(small, max_size=3), st.lists(small, max_size=3), st.booleans()), max_size=8),
    st.dictionaries(small, st.booleans(), max_size=16),
    st.lists(small, max_size=2),
    st.lists(st.integers(0, 7), max_size=2),
)
def test_nothing_that_a_kept_manifest_names_goes_and_what_is_old_and_unnamed_does(
    stages: list[tuple[list[int], list[int], bool]], objects: dict[int, bool], named: list[int], stage_roots: list[int]
) -> None:
    known = [
        manifest(number, outputs, inputs, NOW if recent else BEFORE - timedelta(days=1))
        for number, (outputs, inputs, recent) in enumerate(stages)
    ]
    found = inventory(known, {f"values/{digest(key)}.json": YOUNG if young else OLD for key, young in objects.items()})
    made = kept(found, *named, *(-1 - number for number in stage_roots))
    assert set(made.kept) | set(made.doomed) == set(found.stored)
    assert not set(made.kept) & set(made.doomed)
    wanted = set(map(digest, [*named, *(-1 - number for number in stage_roots)]))
    for key in made.kept:
        if key.startswith("stages/"):
            wanted |= found.known[key].names
    assert all(own_digest(key) not in wanted for key in made.doomed)
    for key in made.kept:
        is_young = found.stored[key].changed == YOUNG
        assert is_young or own_digest(key) in wanted


def test_objects_go_by_their_own_digest_and_files_by_their_folder_s() -> None:
    one, two = digest(1), digest(2)
    assert own_digest(f"values/{one}.json") == one
    assert own_digest(f"variants/{one}/{two}.safetensors") == one
    assert own_digest(f"captures/capture-v1-{one}/{two}.parquet") == two
    assert own_digest(f"stages/plan-v1-{one}.json") == one
    assert own_digest("values/notes.txt") is None


def test_a_trace_keeps_its_stage_and_goes_when_it_is_old_itself() -> None:
    known = manifest(0, [1], [2], BEFORE - timedelta(days=9))
    fresh, stale = (f"used/{known.manifest.key}/{(BEFORE + timedelta(days=day)).date()}" for day in (1, -2))
    objects = {f"values/{digest(number)}.json": OLD for number in (1, 2, 3)}
    with_both = kept(inventory([known], {**objects, fresh: YOUNG, stale: YOUNG}))
    assert set(with_both.doomed) == {f"values/{digest(3)}.json", stale}
    with_old = kept(inventory([known], {**objects, stale: YOUNG}))
    assert f"stages/{known.manifest.key}.json" in with_old.doomed
    assert used_since([fresh, stale, "used/x"], BEFORE.date()) == {known.manifest.key}


def test_a_case_in_quarantine_goes_by_its_youngest_file() -> None:
    young, old = (f"quarantine/{digest(number)[:32]}" for number in (1, 2))
    files = {f"{young}/model": OLD, f"{young}/note.json": YOUNG, f"{old}/model": OLD}
    assert set(kept(inventory([], files)).doomed) == {f"{old}/model"}


def test_a_manifest_with_a_broken_seal_names_nothing() -> None:
    assert read_manifest(b'{"manifest": {}, "sha256": ""}') is None
