"""The Open Inference Protocol V2: whole tensors, as JSON or as they are in memory.

Source: Open Inference Protocol, inference REST; Triton's extension for binary tensor data.
"""
