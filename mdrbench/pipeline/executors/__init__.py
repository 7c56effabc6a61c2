"""Executors, which run the steps of a plan. One file for each (see :mod:`mdrbench.core.registry`)."""
