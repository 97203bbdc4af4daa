"""What the prepared faces are written as: folders, packed files, tar shards."""
