"""Where steps run: one file each (see :mod:`mdrbench.core.registry`)."""
