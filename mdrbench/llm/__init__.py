"""Asking language models over HTTP: one client, one store of answers, one account of what they cost."""
