"""Pictures and videos to work on: finding them, and how published sets are laid out."""
