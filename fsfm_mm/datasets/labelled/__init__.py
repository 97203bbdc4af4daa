"""Labelled faces for fine-tuning and testing: real or fake, live or spoof."""
