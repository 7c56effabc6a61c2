"""The static site: results, published figures and ablations -> ``site/public``. Imports neither torch nor pyserini.

``board`` holds what is shown, ``charts`` draws it, each ``*_pages`` module yields the pages of one kind, and ``build``
writes them whole or not at all.
"""

from mdrbench.site.engine.build import build

__all__ = ["build"]
