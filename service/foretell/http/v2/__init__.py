"""The Open Inference Protocol V2: its paths, and what it tells of the server and of models.

Source: Open Inference Protocol, inference REST; the extensions that Triton has published.
"""
