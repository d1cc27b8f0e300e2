"""Layers: each one file with its parameters, its plan of memory, its forward and its backward pass."""
