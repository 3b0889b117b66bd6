"""The only importer of moderngl."""
