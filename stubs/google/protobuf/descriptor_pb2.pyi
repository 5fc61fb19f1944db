from typing import Any

class FieldDescriptorProto:
    LABEL_OPTIONAL: int
    LABEL_REPEATED: int
    TYPE_MESSAGE: int

class FileDescriptorProto:
    message_type: Any
    def __init__(self, *, name: str, package: str, syntax: str) -> None: ...
    def SerializeToString(self) -> bytes: ...
