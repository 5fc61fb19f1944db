from typing import Any

from google.protobuf.descriptor import Descriptor

def GetMessageClass(descriptor: Descriptor) -> Any: ...
