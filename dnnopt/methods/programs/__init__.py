"""Engines below exact methods, bounds and heuristics: programs over items, stages, trees and labels."""
