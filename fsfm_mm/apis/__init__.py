"""What other programs call: benchmarks, testing, protocols."""
