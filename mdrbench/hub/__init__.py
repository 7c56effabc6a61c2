"""Models and data from a hub or from packages: what there is, where it comes from, downloads that resume."""
