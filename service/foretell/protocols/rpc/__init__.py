"""The Open Inference Protocol V2 as messages of gRPC.

Only what serves gRPC imports what is in here: it needs protobuf.

Source: Open Inference Protocol, inference gRPC.
"""
