from __future__ import annotations

import pytest

from mdrbench.results.mteb_tables import tie_rule

BY_DOCID = "score descending, then docid descending (mteb)"
BY_INSERTION = "score descending, then docid descending; for MRR the order of insertion (mteb before 2.18.19)"


@pytest.mark.parametrize(
    ("software", "rule"),
    [
        ("mteb 2.18.19", BY_DOCID),
        ("mteb 2.26.24", BY_DOCID),
        ("mteb 3.0", BY_DOCID),
        ("mteb 2.18.18", BY_INSERTION),
        ("mteb 1.25.8", BY_INSERTION),
        ("mteb 2.18.0.dev1", BY_INSERTION),
        ("mteb (version not stated)", "unknown (the version of mteb is not stated)"),
        (None, "unknown (the version of mteb is not stated)"),
    ],
)
def test_the_tie_rule_is_that_of_the_version_that_wrote_the_file(software, rule):
    assert tie_rule(software) == rule
