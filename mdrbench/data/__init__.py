"""Data sets in MIRACL's layout: reading, checking and fetching them."""
