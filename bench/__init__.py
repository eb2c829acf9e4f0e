"""The benchmarks: everything that is measured side by side, and the means to measure it."""
