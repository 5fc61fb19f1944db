"""The models on disk: layout, manifest, catalogue, checks, and writing that happens whole or not at all."""
