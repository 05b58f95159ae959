"""Sentinel-1: SAFE products in, frozen annotation values and complex samples out."""
