"""Hard negatives: groups, mining, judges, generation and agreement with human labels."""
