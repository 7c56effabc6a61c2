"""How often a training shows its queries, counted by hand."""

from __future__ import annotations

from mdrbench.training.exposure import exposure


def test_exposure_counts_queries_that_are_never_shown_and_those_that_recur():
    fi, sw = [("fi", f"q{n}") for n in range(4)], [("sw", "q0")]
    batches = [[fi[0], fi[1]], [fi[0], sw[0]], [fi[0], fi[1]]]
    assert exposure([*fi, *sw], batches) == {
        "all": {"queries": 5, "shown": 6, "least": 0, "median": 1, "most": 3, "never": 2, "effective": 2.6},
        "fi": {"queries": 4, "shown": 5, "least": 0, "median": 1.0, "most": 3, "never": 2, "effective": 1.9},
        "sw": {"queries": 1, "shown": 1, "least": 1, "median": 1, "most": 1, "never": 0, "effective": 1.0},
    }
    assert exposure(fi, [])["all"]["effective"] == 0.0
