"""Helpers of several test modules: made-up results, local servers, tiny models, folders in MIRACL's layout."""
