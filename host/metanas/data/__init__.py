"""Episodes from images."""
