"""Group decomposition: bounds and plans for sums under tight memory, by programs of groups of devices."""
