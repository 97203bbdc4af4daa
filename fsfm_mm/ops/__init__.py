"""Pure functions on arrays and tensors: patches, positions, label tables, masks, precision."""
