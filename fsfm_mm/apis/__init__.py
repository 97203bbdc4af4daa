"""What other programs call: benchmarks, inference, feature extraction and export."""
