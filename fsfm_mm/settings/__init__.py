"""Settings: configs found by name, the command line's changes to them, and what an error says about them."""
