"""What every room may use: errors, types, languages, the registry, the store, atomic files, the console."""
