"""Render, write and serve the site."""
