"""Retrievers, encoders, indexes, vectors and fusion."""
