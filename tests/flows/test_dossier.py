"""What people read of an audit: the dossier in a real browser, answers to questions, and the model card."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import PICO_OPTIONS, Lorp


@pytest.fixture
def outcomes(audited_home: tuple[Path, dict[str, Any]], home: Path) -> dict[str, Any]:
    """What the runs came to, of which this test has a copy."""
    shutil.copytree(audited_home[0], home)
    return audited_home[1]


class Page(HTMLParser):
    """Text, anchors and links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids |= {found["id"]} if found.get("id") else set()
        self.links |= {found["href"]} if found.get("href") else set()

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def shown(path: Path) -> Page:
    """A page as Chromium has it once it is loaded."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("there is no chromium")
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([*words, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    return Page(done.stdout)


def test_a_browser_shows_the_dossier_with_all_that_leads_from_production_to_the_source(
    outcomes: dict[str, Any], lorp: Lorp, tmp_path: Path
) -> None:
    page = tmp_path / "dossier.html"
    done = lorp("audit", "pico@production", f"--html={page}", "--json")
    assert done.status == 0
    seen = shown(page)
    for word in (
        "SOUND",
        "@production",
        "Version 2",
        "Record",
        "Verdict",
        "Variant",
        "Patch",
        "Plan, by search",
        "Clusters",
        "Similarity",
        "Capture",
        "Source checkpoint",
        "ada",
        "grace",
        outcomes["second"]["checkpoint"]["digest"],
        outcomes["second"]["variant"]["digest"],
    ):
        assert word in seen.text, word
    assert seen.links
    assert {link for link in seen.links if link.startswith("#")} == seen.links
    assert {link.removeprefix("#") for link in seen.links} <= seen.ids
    heads = tmp_path / "heads.json"
    heads.write_text(re.search(r"<code>(\{.*?lorp.heads.*?)</code>", page.read_text())[1].replace("&#34;", '"'))  # type: ignore[index]
    assert lorp("audit", "pico", f"--since={heads}").status == 0


def test_the_dossier_names_what_is_wrong(outcomes: dict[str, Any], lorp: Lorp, home: Path, tmp_path: Path) -> None:
    weights = home / "store" / "variants" / outcomes["first"]["variant"]["digest"] / "model.safetensors"
    data = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    page = tmp_path / "dossier.html"
    assert lorp("audit", "pico@1", f"--html={page}").status == 4
    text = Page(page.read_text()).text
    assert "NOT SOUND" in text
    assert f"variants/{outcomes['first']['variant']['digest']}/model.safetensors" in text


def test_history_tells_what_was_in_production_when(outcomes: dict[str, Any], lorp: Lorp) -> None:
    told = lorp("history", "pico", "--json").json
    assert [entry["change"]["act"] for entry in told["entries"]] == [
        "registered", "rejected", "registered", "promoted", "promoted", "rolled-back",
    ]  # fmt: skip
    assert [(each["version"], each["asked_by"]) for each in told["held"]] == [(2, "ada"), (1, "ada"), (2, "grace")]
    assert [each["until"] is None for each in told["held"]] == [False, False, True]
    assert told["held"][0]["until"] == told["held"][1]["since"]
    shown = lorp("history", "pico").out
    assert "rolled back" in shown
    assert "asked by grace: slower" in shown


def test_why_tells_what_spoke_for_each_removed_block(outcomes: dict[str, Any], lorp: Lorp) -> None:
    told = lorp("why", "pico@1", "--json").json
    first = outcomes["first"]
    assert [each["block"] for each in told["removed"]] == first["plan"]["removed"]
    clusters = first["similarity"]["clusters"]
    for each in told["removed"]:
        assert each["block"] in clusters[each["cluster"]]
        assert each["share"] == first["plan"]["stability"]["shares"][each["block"]]
        assert -1 <= each["similarity"] <= 1
    assert told["criteria"] == first["verdict"]["criteria"]
    assert told["kept"] == first["plan"]["kept"]
    assert lorp("why", "pico@production").status == 0


def test_diff_tells_how_two_versions_differ(outcomes: dict[str, Any], lorp: Lorp) -> None:
    told = lorp("diff", "pico@1", "pico@2", "--json").json
    assert told["spec"] == {"pruning.remove": [2, 1]}
    assert {"accuracy_pruned", "repetition_pruned"} <= told["measured"].keys()
    assert [each["method"] for each in told["versions"]] == [
        outcomes[name]["plan"]["method"] for name in ("first", "second")
    ]
    kept = [set(outcomes[name]["plan"]["kept"]) for name in ("first", "second")]
    assert told["kept_in_one"] == [sorted(kept[0] - kept[1]), sorted(kept[1] - kept[0])]
    assert told["measured"]["perplexity_pruned"] == [
        outcomes[name]["perplexity"]["pruned"] for name in ("first", "second")
    ]
    assert lorp("diff", "pico@1", "pico@production").status == 0


def test_affected_finds_what_was_made_from_a_checkpoint_a_text_and_a_variant(
    outcomes: dict[str, Any], lorp: Lorp, home: Path, tmp_path: Path
) -> None:
    source = outcomes["first"]["checkpoint"]["digest"]
    told = lorp("affected", source, "--json").json["affected"]
    assert [(each["name"], each["version"], each["through"]) for each in told] == [
        ("pico", 1, []), ("pico", 2, []), ("pico", None, []),
    ]  # fmt: skip
    assert [each["aliases"] for each in told] == [[], ["production"], []]
    assert all("source" in each["roles"] for each in told)
    record = json.loads((home / "store" / "values" / Path(outcomes["first"]["lineage"]).name).read_bytes())
    needed = record["predicate"]["buildDefinition"]["resolvedDependencies"]
    text = next(each["digest"]["documentsSha256"] for each in needed if each["name"] == "text/calibration")
    assert len(lorp("affected", text, "--json").json["affected"]) == 3
    assert lorp("affected", "0" * 64).out.startswith("No record in this store names")
    assert lorp("affected", outcomes["first"]["variant"]["digest"], "--json").json["affected"][0]["roles"] == [
        "variant"
    ]
    model = tmp_path / "model"
    assert lorp("pull", "pico@1", f"--to={model}").status == 0
    again = ("--remove=1", "--name=smaller", "--max-perplexity-ratio=100", "--speed-rounds=0", *PICO_OPTIONS)
    assert lorp("recompress", model, *again).status == 0
    told = lorp("affected", source, "--json").json["affected"]
    variant = outcomes["first"]["variant"]["digest"]
    assert [(each["name"], each["through"]) for each in told][-1] == ("smaller", [variant])


def test_the_card_goes_with_the_variant_and_carries_its_licence_on(
    pico_copy: Path, lorp: Lorp, home: Path, prefect_server: None, tmp_path: Path
) -> None:
    (pico_copy / "README.md").write_text("---\nlicense: Apache-2.0\n---\n# A model\n")
    (pico_copy / "LICENSE").write_text("Do as you like.\n")
    done = lorp(
        "recompress", pico_copy, "--remove=2", "--name=pi_co", "--max-perplexity-ratio=100", *PICO_OPTIONS, "--json"
    )
    assert done.status == 0
    model = tmp_path / "model"
    assert lorp("pull", "pi_co@1", f"--to={model}").status == 0
    assert lorp("pull", "pi_co@1", f"--to={model}").status == 0  # it is there already
    card = (model / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["license"], front["library_name"]) == ("apache-2.0", "transformers")
    for word in (
        "apache-2.0, [LICENSE](LICENSE)",
        f"kept = {done.json['plan']['kept']}",
        done.json["variant"]["digest"],
        done.json["verdict"]["id"],
        "Perplexity ratio",
        "lorp audit",
        "pi\\_co" if "pi_co" in card else "checkpoint",
    ):
        assert word in card
    again = lorp(
        "recompress", model, "--remove=1", "--name=again", "--max-perplexity-ratio=100", *PICO_OPTIONS, "--json"
    )
    assert again.status == 0
    assert again.json["checkpoint"]["digest"] == done.json["variant"]["digest"]
    assert lorp("pull", "again@1", f"--to={tmp_path / 'again'}").status == 0
    assert 'license: "apache-2.0"' in (tmp_path / "again" / "README.md").read_text()
