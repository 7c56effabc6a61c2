"""Collections of others, written as data sets in MIRACL's layout with a data card.

Each module reads one kind: :mod:`.beir` folders, two plain :mod:`.files`, :mod:`.ir_datasets` names, and repositories
of the :mod:`.hub`, also by the names of mteb's tasks. :mod:`.folder` writes what they read.
"""
