"""Where corpora, topics and qrels come from: one file a source (see :mod:`mdrbench.core.registry`)."""
