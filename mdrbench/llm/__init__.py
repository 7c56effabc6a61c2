"""Ask language models over HTTP: one client, one store of answers, one budget."""
