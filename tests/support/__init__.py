"""Helpers that several test modules use: made-up results, local servers, tiny models, folders in MIRACL's layout."""
