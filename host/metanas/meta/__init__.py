"""Few-shot learning: inner loop, outer loop."""
