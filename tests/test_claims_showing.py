"""How the second sitting is told and drawn: cards, tables, the forest plot, dumbbells."""

import json
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from claim_parts import make_record, make_toy

from clipnb import claims
from clipnb.claims import CLAIMS, forest, load_experiments, pooling, protocols, running, showing
from clipnb.claims.experiment import Gate
from clipnb.claims.verdicts import MARKS, VERDICTS

pytestmark = pytest.mark.usefixtures("parsed_once")


@pytest.fixture
def groups():
    """Records of some claims: supported twice, opposite, not reached, unfinished, unbounded."""
    records = [
        make_record("a", "C2", 30.0, (28.0, 32.0), paper_effect=40.0),
        make_record("b", "C2", 20.0, (18.0, 22.0), dataset="flickr8k"),
        make_record("c", "C8", -3.0, (-4.0, -2.0)),
        make_record("d", "C13", 0.1, (-0.5, 0.7), kind="equivalence"),
        make_record("e", "C12", 1.0, (0.5, 9.0), verdict="not reached here"),
        make_record("f", "C1a", 1.0, (0.5, 9.0), verdict="not finished"),
        make_record("g", "C5", None, (1.3, None), scale="log", margin=1.1, unit="labels"),
        make_record("h", "L1", 500.0, (400.0, 600.0)),
    ]
    groups = {claim: [] for claim in CLAIMS}
    for record in records:
        groups[record["claim"]].append(record)
    return groups


# ---- texts -----------------------------------------------------------------------------------


def test_an_effect_is_told_with_its_interval_and_without_a_bound_if_it_has_none():
    assert showing.format_effect(make_record()) == "5.00 (3.00 to 7.00) points"
    unbounded = make_record(mean=None, interval=(8.0, None), unit="labels")
    assert showing.format_effect(unbounded) == "beyond what was tried (8.00 to ∞) labels"
    assert "(−∞ to 2.00)" in showing.format_effect(make_record(mean=1.0, interval=(None, 2.0)))


@pytest.mark.parametrize(
    "text, sentence",
    [("it is so", "It is so."), ("It is so.", "It is so."), ("really?", "Really?")],
)
def test_a_text_becomes_a_sentence(text, sentence):
    assert showing.format_sentence(text) == sentence


def test_every_verdict_is_told_with_its_mark():
    assert {showing.format_verdict(each) for each in VERDICTS} == {
        f"{MARKS[each]} {each}" for each in VERDICTS
    }


def test_p_values():
    assert [showing.format_p(p) for p in (None, 0.0001, 0.0213)] == ["", "< 0.001", "0.021"]


# ---- cards -----------------------------------------------------------------------------------


@pytest.fixture
def card(tmp_path, monkeypatch):
    """The card of the toy, run in full, with a gate."""
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    gate = Gate(effect="accuracy", above=20, why="there is nothing to see")
    toy = make_toy(gates=(gate,), version=2, changed="the margin was 3 points")
    monkeypatch.setattr(claims, "load_experiments", lambda: {"toy": toy})
    protocols.write_protocol(toy)
    running.record_experiment(toy, [0, 1, 2])
    return showing.render_card("toy")


def test_a_card_tells_everything_that_was_settled_and_found(card, tmp_path):
    record = json.loads((tmp_path / "results" / "claims" / "toy.json").read_text())
    for part in (
        "**C2 · A toy** (scenes)",
        "> “It is better.”",
        "> §0, Table 0, page 0",
        "**gain** (on trial)",
        showing.format_effect(record["effects"]["gain"]),
        "over 6 each",
        "*Hypothesis*: The model a is better than b.",
        "*The paper's own effect*: 20.0 points.",
        "*The smallest effect that counts*: 2 points. It is a tenth",
        "*Only if*: “accuracy” lies above 20: else there is nothing to see.",
        "*Rule*: Supported: the 95 % interval of “gain” lies above 2 points",
        "*Proxy of the paper's setting*: It is a toy.",
        "*Version 2 of the protocol*: The margin was 3 points.",
        f"**Verdict: {showing.format_verdict(record['verdict'])}**",
        record["because"],
        "results/protocols/toy.json",
        "python -m clipnb experiment toy --seeds 0,1,2",
    ):
        assert part in card, part
    assert "None" not in card and "nan" not in card


def test_a_card_without_a_record_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setattr(claims, "load_experiments", lambda: {"toy": make_toy()})
    assert showing.render_card("toy") == "*No full run of `toy` on record.*"
    assert "python -m clipnb experiment toy" in capsys.readouterr().out


# ---- tables ----------------------------------------------------------------------------------


def find_row(table, start):
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {start} |")]
    return row


def test_the_table_of_claims_pools_and_corrects(groups):
    table = showing.claims_table(groups)
    assert len(table.splitlines()) == 2 + len(CLAIMS)
    row = find_row(table, "C2")
    assert "| 2 | 10 | 12.5 (11.8 to 13.2) | ✔ supported | < 0.001 |" in row
    assert "[06](../notebooks/06_zero_shot_and_prompts.ipynb)" in row
    assert "not tested" in find_row(table, "C15")
    assert "○ not reached here" in find_row(table, "C12")
    assert "… not finished" in find_row(table, "C1a")
    assert "∞" in find_row(table, "C5")


def test_the_tables_tell_how_many_seeds_are_missing(groups):
    (record,) = groups["C1a"]  # not finished
    assert "so far" not in find_row(showing.claims_table(groups), "C2")
    groups["C1a"] = [record | {"seeds": [0, 1], "asked": 5}, make_record("finished", "C1a")]
    row = find_row(showing.claims_table(groups), "C1a")
    assert "| 2 | 7 of 10 |" in row
    assert "… not finished so far" in row
    told = showing.experiments_table(groups)
    assert "| 2 of 5 | … not finished |" in told
    assert "| 5 | ✔ supported |" in told


def test_the_table_of_claims_tells_how_many_experiments_speak(groups):
    (closed,) = groups["C12"]
    assert "| 1 | 5 |" in find_row(showing.claims_table(groups), "C12")
    groups["C12"] = [closed, make_record("speaks", "C12")]
    assert "| 1 of 2 | 10 |" in find_row(showing.claims_table(groups), "C12")


def test_the_table_of_experiments_has_a_row_each(groups):
    table = showing.experiments_table(groups)
    assert len(table.splitlines()) == 2 + 8
    assert "40.0 (§3, Fig 4, page 7)" in table
    assert "gain: 30.0 (28.0 to 32.0) points" in table


def test_both_sittings_stand_side_by_side(groups):
    table = showing.compare_sittings(groups)
    assert "| partly | " in find_row(table, "C8")
    assert find_row(table, "C7a").split("|")[3] == find_row(table, "C7b").split("|")[3]
    assert "| not tested | ✔ supported |" in find_row(table, "L1")
    assert "| not tested | not tested |" in find_row(table, "C15")


def test_claims_are_grouped_by_verdict(groups):
    claims = showing.group_by_verdict(groups)
    assert sum(len(own) for own in claims.values()) == 7
    assert claims["not reached here"] == ["C12"]
    assert "C2" in claims["supported"]
    groups["C2"] = [make_record("one", "C2"), make_record("other", "C2", 0.1, (-0.2, 0.4))]
    assert "C2*" in sum(showing.group_by_verdict(groups).values(), [])


def test_a_claim_that_is_supported_in_one_world_names_it():
    drawn = make_record("drawn", "C2", 8.0, (7.0, 9.0), dataset="scenes")
    photos = make_record("photos", "C2", 0.5, (0.2, 0.8), dataset="flickr8k")
    pooled = pooling.pool_claim("C2", [drawn, photos])
    assert pooled.verdict == "supported"
    assert showing.name_claim(pooled, [drawn, photos]) == "C2 (scenes)"
    assert showing.name_claim(pooled, [drawn, drawn]) == "C2"
    other = make_record("other", "C2", 0.5, (0.2, 0.8), dataset="scenes")
    assert showing.name_claim(pooled, [drawn, other]) == "C2*"


# ---- figures ---------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def list_texts(fig):
    return [text.get_text() for text in fig.axes[0].texts]


def test_the_forest_has_a_row_for_each_claim_and_experiment(groups):
    fig = forest.plot_forest(groups)
    texts = list_texts(fig)
    assert len(texts) == 2 * (7 + 8)
    assert "✔ supported" in texts and "○ not reached here" in texts
    assert all(text.get_fontsize() >= 8 for text in fig.axes[0].texts)
    assert len(fig.axes[0].patches) == 1 + 1, "the grey band, and the diamond of C2"


def test_what_says_nothing_is_grey(groups):
    fig = forest.plot_forest(groups)
    grey = [text.get_text() for text in fig.axes[0].texts if text.get_color() == forest.GREY]
    assert any("The test e of C12" in text for text in grey)
    assert any("The test f of C1" in text for text in grey)
    assert not any("The test a of C2" in text for text in grey)


def test_the_papers_effect_is_told_in_our_margins():
    record = make_record(paper_effect=40.0, margin=2.0)
    assert forest.scale_paper_effect(record) == 20
    ratio = make_record(paper_effect=4.0, margin=2.0, scale="log", mean=2.0, interval=(1.5, 3.0))
    assert forest.scale_paper_effect(ratio) == pytest.approx(2)


def test_the_forest_fits_all_experiments_with_their_titles():
    rng = np.random.default_rng(0)
    groups = {}
    for experiment in load_experiments().values():
        mean = float(rng.normal(2, 4))
        record = make_record(experiment.name, experiment.claim, mean, (mean - 2, mean + 2))
        groups.setdefault(experiment.claim, []).append(record | {"title": experiment.title})
    fig = forest.plot_forest(groups)
    n_rows = len(load_experiments()) + len(groups)
    assert fig.get_size_inches()[1] / n_rows > 0.2, "inches for a row of 8.5 points"
    fig.canvas.draw()
    titles = fig.axes[0].texts[::2]  # a title and a verdict in each row
    assert len(titles) == n_rows
    boxes = [title.get_window_extent() for title in titles]
    assert all(above.y0 > below.y1 for above, below in pairwise(boxes)), "no title touches another"
    assert max(box.x1 for box in boxes) < fig.axes[0].bbox.x0, "nor reaches into the plot"


def test_long_titles_go_on_in_another_line():
    assert forest.wrap_title("C1", "one two three", 20) == "C1  one two three"
    assert forest.wrap_title("C1", "one two three", 12) == "C1  one two\nthree"


def test_pairs_are_drawn_as_dumbbells():
    record = make_record()
    record["conditions"] = {"a": {"mean": 50.0}, "b": {"mean": 63.0}, "c": {"mean": 40.0}}
    pairs = [("kinds", "a", "b"), ("colours", "a", "c")]
    ax = forest.plot_pairs(pairs, record, ("singular", "plural"), "A title")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["kinds", "colours"]
    assert [text.get_text() for text in ax.texts] == ["+13.0", "−10.0"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["singular", "plural"]
