"""The static site: results, published figures and ablations become ``site/public``. Imports neither torch nor pyserini.

- ``model/`` reads the results once and computes everything that is shown, as plain data (``SiteModel``).
- ``pages/`` has a module for each kind of page, which turns the model into template variables.
- ``engine/`` renders, writes and serves; ``cache.py`` keeps results of slow work between two builds.
"""

from mdrbench.site.engine.build import build

__all__ = ["build"]
