"""Build the wiki16 collection from pinned source files.

Read the modules in this order: :mod:`.sources` (the files), :mod:`.readers` and :mod:`.miracl_prompts` (what they
hold), :mod:`.passages` and :mod:`.near_copies` (the corpus), :mod:`.queries` (topics and judgments), :mod:`.splits`
(train, dev and test), :mod:`.language` (one language from beginning to end), :mod:`.build` (files on disk).

The result depends on the source files and on this code only. Clocks, random numbers and the order of sets have no
influence, so the uncompressed files are identical on every machine (see :mod:`.content`).
"""
