"""What other programs call: testing, protocols."""
