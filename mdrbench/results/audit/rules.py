"""The rules of the audit, each in one sentence."""

from __future__ import annotations

RULES = {
    "pool-below-full": "An encoder scores lower on a pool than on the full corpus, of which the pool is a part.",
    "pool-above-full": "An encoder scores more than .12 higher on a pool than on the full corpus.",
    "fell-with-mteb": "A figure of one revision on one pool fell by more than .05 with another version of mteb.",
    "rose-with-mteb": "A figure of one revision on one pool rose by more than .05 with another version of mteb.",
    "pool-against-source": "A source's full-corpus figure contradicts mteb's figure on a pool for the same encoder.",
    "two-tables": "Two tables of the same authors give one system different figures.",
    "sources-disagree": "Two sources give one system different figures on the same data.",
    "versions-differ": "Two versions of Pyserini give one system different figures.",
    "average-not-from-cells": "A printed average does not follow from the printed cells.",
    "average-of-other-languages": "mteb's average of a task covers only some of its languages.",
    "other-data-revision": "Results name another revision of the data than the newest results do.",
    "mrr-ties": "MRR@10 was computed with another order of equal scores.",
    "pool-not-full": "Figures of a pool are higher than those of the full corpus.",
    "trained-on-miracl": "The model was trained on MIRACL.",
    "training-unknown": "The model does not say what it was trained on.",
    "not-built-for-language": "The model's own list of languages lacks languages of the result.",
    "same-figures": "Two models have the same figures.",
}
"""Rule -> what it finds; in the order of the summary."""
