"""Checks a version of a ledger from docs/lineage.md alone: `python lineage_reader.py STORE NAME VERSION`.

It knows nothing of lorp: the standard library, pyarrow for captures, safetensors for weights. It ends with 1 at the
first thing that does not hold.
"""

import hashlib
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
from safetensors import safe_open

STORE, NAME, VERSION = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
LINKS = ("checkpoint", "windows", "plan", "similarity", "clustering", "weights", "questions", "variant", "dense")


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def check(holds, what):
    if not holds:
        print("does not hold:", what)
        sys.exit(1)


def stored(key, digest):
    data = (STORE / key).read_bytes()
    check(sha256(data) == digest, f"sha256 of {key}")
    return data


def unsealed(path, inside):
    data = path.read_bytes()
    value = json.loads(data)
    check(canonical(value) == data, f"{path} is canonical JSON")
    check(value["sha256"] == sha256(canonical(value[inside])), f"the seal of {path}")
    return value[inside], data


def ledger():
    before, changes = None, []
    for number, path in enumerate(sorted((STORE / "ledger" / NAME).glob("*.json")), start=1):
        entry, data = unsealed(path, "entry")
        check((entry["schema"], entry["name"]) == ("lorp.ledger/2", NAME), f"{path} is an entry of this ledger")
        check((entry["sequence"], entry["before"]) == (number, before), f"the place of {path}")
        before = sha256(data)
        changes.append(entry["change"])
    return changes


def folder_digest(files):
    return sha256(canonical(sorted([file["name"], file["sha256"], file["bytes"]] for file in files)))


def outputs(stages):
    return [made for stage in stages for made in stage["outputs"].values()]


def check_objects(stages):
    for made in outputs(stages):
        if not made["files"]:
            stored(made["key"], made["sha256"])
            continue
        check(folder_digest(made["files"]) == made["sha256"], f"digest of {made['key']}")
        names = {path.name for path in (STORE / made["key"]).iterdir()}
        check(names == {file["name"] for file in made["files"]}, f"files of {made['key']}")
        for file in made["files"]:
            stored(f"{made['key']}/{file['name']}", file["sha256"])


def check_stages(stages):
    made = {each["sha256"] for each in outputs(stages)}
    for stage in stages:
        check(stage["key"].endswith("-" + sha256(canonical(stage["inputs"]))), f"the key of {stage['key']}")
        stands, _ = unsealed(STORE / "stages" / f"{stage['key']}.json", "manifest")
        check((stands["inputs"], stands["outputs"]) == (stage["inputs"], stage["outputs"]), f"manifest {stage['key']}")
        for link in LINKS:
            taken = stage["inputs"].get(link, [])
            for digest in taken if isinstance(taken, list) else [taken]:
                check(digest in made, f"{link} of {stage['key']} was made by the run")


def check_similarity(stages, byproducts):
    score = next(stage for stage in stages if stage["stage"] == "score")
    similarity = json.loads(stored(byproducts["similarity"]["uri"][6:], byproducts["similarity"]["digest"]["sha256"]))
    tables = [made for made in outputs(stages) if made["sha256"] in score["inputs"]["windows"]]
    total, tokens = None, 0
    for table in tables:
        rows = pq.read_table(STORE / table["key"], page_checksum_verification=True)
        sums = rows["cosine_sums"].combine_chunks().to_numpy_ndarray().sum(axis=0)
        total = sums if total is None else total + sums
        tokens += sum(rows["num_tokens"].to_pylist())
    means = total / tokens
    for one, row in enumerate(similarity["boundaries"]):
        for other, value in enumerate(row):
            expected = 1.0 if one == other else (means[one][other] + means[other][one]) / 2
            check(abs(value - expected) < 1e-9, f"similarity of boundaries {one} and {other}")


def check_weights(record, variant):
    kept = record["predicate"]["buildDefinition"]["internalParameters"]["keptBlocks"]
    config = json.loads((STORE / variant / "config.json").read_bytes())
    check(config["num_hidden_layers"] == len(kept), "number of blocks")
    check(config["lorp"]["kept_blocks"] == kept, "the map of kept blocks in the config")
    blocks = set()
    for path in (STORE / variant).glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            blocks |= {int(name.split(".")[2]) for name in file.keys() if name.startswith("model.layers.")}  # noqa: SIM118
    check(blocks == set(range(len(kept))), "the blocks in the weights")


def check_statement(record):
    check(record["_type"] == "https://in-toto.io/Statement/v1", "an in-toto Statement")
    check(record["predicateType"] == "https://slsa.dev/provenance/v1", "SLSA provenance")
    check(record["predicate"]["buildDefinition"]["buildType"] == "urn:lorp:recompress:v1", "a recompression")


def main():
    changes = ledger()
    change = next(each for each in changes if (each["act"], each["version"]) == ("registered", VERSION))
    data = stored(f"values/{change['lineage']}.json", change["lineage"])
    record = json.loads(data)
    check(canonical(record) == data, "the record is canonical JSON")
    check_statement(record)
    inside = record["predicate"]["buildDefinition"]["internalParameters"]
    stages = inside["stages"]
    byproducts = {each["name"]: each for each in record["predicate"]["runDetails"]["byproducts"]}
    check_stages(stages)
    check_objects(stages)
    gate = next(stage for stage in stages if stage["stage"] == "gate")
    variant = next(made for made in outputs(stages) if made["sha256"] == gate["inputs"]["variant"])
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in record["subject"]}
    check(subjects == {file["name"]: file["sha256"] for file in variant["files"]}, "subjects are the variant's files")
    check(change["variant"] == variant["sha256"], "the ledger's variant")
    verdict = json.loads(stored(byproducts["verdict"]["uri"][6:], byproducts["verdict"]["digest"]["sha256"]))
    check(verdict["variant"] == variant["sha256"] and verdict["approved"], "the verdict approves this variant")
    identity = sha256(canonical([verdict["variant"], verdict["evaluation"], verdict["gate"]]))
    check(identity == inside["verdict"]["id"] == change["verdict"], "the verdict's id")
    check_similarity(stages, byproducts)
    check_weights(record, variant["key"])
    assert not any(name.split(".")[0] in ("lorp", "tasks", "flows") for name in sys.modules)
    print(f"{NAME} {VERSION}: {len(changes)} entries, {len(stages)} stages, {len(outputs(stages))} outputs hold")


main()
