"""The bridge to mteb: its models and tasks run here, results exchanged in its format."""
