"""What the site shows, as plain data."""
