"""Radar interferometry kernels: orbit and earth geometry, coregistration, coherence, geocoding."""
