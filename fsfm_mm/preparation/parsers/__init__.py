"""Face parsers, in the registry FACE_PARSERS."""
