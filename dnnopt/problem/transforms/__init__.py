"""Transforms of networks: the same computation in other pieces (fewer, larger layers; shards; fused tiles)."""
