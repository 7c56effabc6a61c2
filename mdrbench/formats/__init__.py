"""Files in the field's formats and the project's own: read strictly, written whole or not at all."""
