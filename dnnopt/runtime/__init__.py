"""Plans that run: a network in pieces, in processes of their own, measured against what was predicted."""
