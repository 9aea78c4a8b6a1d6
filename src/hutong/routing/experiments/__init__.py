"""Experiments: a draft of the configuration routes a share of the payments."""
