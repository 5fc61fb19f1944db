"""Running models: ONNX sessions, loaded versions, and the registry of what is served."""
