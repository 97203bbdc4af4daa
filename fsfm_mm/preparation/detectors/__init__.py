"""Face detectors, in the registry FACE_DETECTORS."""
