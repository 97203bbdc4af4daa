"""Faces with parsing maps for self-supervised pretraining: in folders, or many in one archive."""
