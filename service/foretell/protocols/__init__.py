"""Wire protocols: one module each, from a request's bytes to tensors and from tensors to an answer's bytes."""
