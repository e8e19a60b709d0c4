"""The dossier's page and drawing, whatever names and numbers they are given."""

import re

from lorp.report.dossier import DossierData, EntryLine, Line, render_dossier
from lorp.report.lineage_graph import Node, lineage_graph

HOSTILE = '<script>alert(1)</script>\u202e\udc80&"'


def nodes(*pairs: tuple[str, str]) -> list[Node]:
    return [
        Node(id=name, title=name.upper(), detail="d", href=f"#{name}", rests_on=tuple(below)) for name, below in pairs
    ]


def test_everything_lies_below_what_rests_on_it_and_what_follows_is_not_drawn() -> None:
    drawn = str(lineage_graph(nodes(("a", "bcd"), ("b", "c"), ("c", "d"), ("d", "")), "What a rests on"))
    tops = {title: float(top) for top, title in re.findall(r'<rect[^>]* y="([\d.]+)".*?>([A-D])</text>', drawn)}
    assert tops["A"] < tops["B"] < tops["C"] < tops["D"]
    assert drawn.count("<line") == 3
    assert 'aria-label="A, d; rests on B, C, D"' in drawn
    assert 'href="#c"' in drawn


def test_a_long_detail_is_cut_where_it_is_drawn_and_whole_where_it_is_told() -> None:
    [node] = nodes(("a", ""))
    drawn = str(lineage_graph([Node(id="a", title="A", detail="x" * 99, href="#a")], "A"))
    assert f"<title>A, {'x' * 99}</title>" in drawn
    assert f">{'x' * 99}</text>" not in drawn
    assert node.rests_on == ()


def page(sound: bool, state: str) -> str:
    return render_dossier(
        DossierData(
            target=HOSTILE, again="pico@1", store=HOSTILE, time="2026-11-26T00:00:00+00:00", version="1", sound=sound,
            lines=(Line(about=HOSTILE, name="chain", state=state, said=HOSTILE),),
            faults=() if sound else ((HOSTILE, HOSTILE),), num_objects=1, num_bytes=1, runs=(), unexplained=2,
            entries=(
                EntryLine(
                    anchor="entry-pico-1", ledger="pico", sequence=1, time="now", what=HOSTILE, asked_by=HOSTILE,
                    reason=HOSTILE, approved=HOSTILE, sha256="0" * 64,
                ),
            ),
            heads="{}",
        )
    )  # fmt: skip


def test_what_comes_from_a_store_is_text() -> None:
    for sound, state in ((True, "not done"), (False, "fails")):
        html = page(sound, state)
        assert "<script>" not in html
        assert html.encode()
        assert ("NOT SOUND" in html) == (not sound)
    assert "Not looked at" in page(sound=True, state="not done")
    assert "Not looked at" not in page(sound=True, state="holds")
    assert "2 runs cannot be shown" in page(sound=True, state="holds")
