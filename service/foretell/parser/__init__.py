"""The signature as a parser: JSON types that check a request in one pass, and the way from JSON values to tensors."""

from foretell.parser.capacity import Capacity
from foretell.parser.layout import Tensors
from foretell.parser.parser import Parser

__all__ = ["Capacity", "Parser", "Tensors"]
