"""From one source to cut-out faces: read, detect, choose or follow, cut."""
