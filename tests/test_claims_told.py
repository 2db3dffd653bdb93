"""What is told of a record: the verdict by the seeds that it has."""

from clipnb.claims import load_claim
from clipnb.claims.told import summarize_claim, tell_seeds, tell_verdict
from clipnb.claims.verdicts import SUPPORTED, UNFINISHED


def test_an_unfinished_record_tells_its_verdict_so_far():
    record = load_claim("locked")
    record = record | {"verdict": UNFINISHED, "seeds": [0, 1]}
    assert tell_seeds(record) == "2 of 5 seeds"
    assert UNFINISHED not in tell_verdict(record)
    assert tell_verdict(record).endswith("(by 2 of 5 seeds)")


def test_a_finished_record_tells_its_own_verdict():
    record = {"verdict": SUPPORTED, "seeds": [0, 1, 2]}
    assert tell_verdict(record) == f"✔ {SUPPORTED} (by 3 seeds)"
    assert tell_seeds(record | {"seeds": [0]}) == "1 seed"


def test_a_claim_is_told_in_three_lines():
    record = load_claim("clamp")
    title, effect, verdict = summarize_claim(record).splitlines()
    assert title == "C17c · Without the clamp, training becomes unstable (scenes)"
    assert effect.startswith("  clamp on minus off, hot: ")
    assert verdict == f"  verdict: {tell_verdict(record)}"
