"""What is published: STAC catalog, items and their assets."""
