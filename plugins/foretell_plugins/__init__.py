"""The bundled plugins. foretell finds them by their entry points, the same way as anyone's."""
