"""The model card: what it must say, and that nothing given to it becomes Markdown or front matter."""

from dataclasses import replace

import pytest
import yaml
from test_report import make_data

from lorp.digest import FileDigest
from lorp.report import CardFacts, render_card

FILES = (FileDigest(name="config.json", sha256="1" * 64, bytes=3),)
SEEING = "AutoModelForImageTextToText"
HOSTILE = "---\nlicense: stolen\n---\n# [x](http://y) | <script> `a` *b*\u202e"


def facts(**named: object) -> CardFacts:
    return CardFacts(**{"files": FILES, "source_digest": "2" * 64, **named})  # type: ignore[arg-type]


def front(card: str) -> dict[str, object]:
    value: dict[str, object] = yaml.safe_load(card.split("---\n")[1])
    return value


def test_it_says_what_it_is_what_was_measured_and_how_to_verify_it() -> None:
    data = make_data()
    card = render_card(data, facts(repository="o/n", commit="c" * 40, licence="mit"), (1,))
    assert front(card) == {
        "license": "mit",
        "base_model": "o/n",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["lorp", "depth-pruning"],
    }
    for words in (
        "# models/dense without 3 of its 30 blocks",
        "at commit `cccc",
        f"kept = {list(data.plan.kept)}",
        "| Perplexity ratio (pruned / dense) |",
        "upper bound 2.2",
        "## Limits",
        f"    {'1' * 64}  config.json",
        f"lorp audit {'a' * 64}",
    ):
        assert words in card, words
    assert "is not meant for use" in card  # its ratio is over the budget
    assert "is not meant for use" not in render_card(make_data(shift=0.01), facts(), (1,))


def test_of_a_model_that_sees_it_says_so_and_that_only_text_was_looked_at() -> None:
    cards = [render_card(make_data(), facts(**named), (1,)) for named in ({}, {"model_class": SEEING})]
    assert [front(card)["pipeline_tag"] for card in cards] == ["text-generation", "image-text-to-text"]
    assert [f'    {SEEING}.from_pretrained("FOLDER")' in card for card in cards] == [False, True]
    assert ["on text alone. What the model makes of images" in card for card in cards] == [False, True]


def test_of_images_it_says_that_they_were_looked_at() -> None:
    data = make_data()
    corpora = ("pairs.jsonl#image:caption,image",)
    asked = data.spec.model_copy(update={"evaluation": data.spec.evaluation.model_copy(update={"corpora": corpora})})
    seen = replace(data, spec=asked, plan=replace(data.plan, stack="vision"))
    card = render_card(seen, facts(model_class=SEEING), (1,))
    for words in (
        "A causal language model that sees images, from which",
        "transformer blocks of its vision stack without",
        "pairs of an image and its text",
        "on images with a text each",
    ):
        assert words in card, words
    assert "on text alone" not in card


def test_the_same_data_give_the_same_bytes() -> None:
    assert render_card(make_data(), facts(), (1,)) == render_card(make_data(), facts(), (1,))


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({}, "not known: look where its source came from"),
        ({"licence_files": ("LICENSE", "NOTICE")}, "as the files say, [LICENSE](LICENSE) and [NOTICE](NOTICE)"),
        ({"licence": "mit", "licence_files": ("LICENSE",)}, "| licence | mit, [LICENSE](LICENSE) |"),
    ],
)
def test_it_says_what_is_known_of_the_licence(named: dict[str, object], said: str) -> None:
    assert said in render_card(make_data(), facts(**named), (1,))


def test_what_is_given_is_text() -> None:
    card = render_card(make_data(source=HOSTILE), facts(repository=HOSTILE, commit="c" * 40), (1,))
    assert "license" not in front(card)
    assert front(card)["base_model"] == HOSTILE.replace("\u202e", "\u202e")
    assert "<script>" not in card.split("---\n", 2)[2]
    assert "[x](http://y)" not in card.split("---\n", 2)[2]
    assert "\u202e" not in card.split("---\n", 2)[2]
