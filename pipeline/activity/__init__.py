"""Activity kernels: from a stack of coherence to stable points, NDAI, classes and areas."""
