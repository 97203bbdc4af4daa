"""What the prepared faces are written as: folders, or an archive of tar files."""
