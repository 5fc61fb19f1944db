"""gRPC: the Open Inference Protocol V2 and gRPC's own health checks, on a port of its own."""
