"""Experiments: a draft of the configuration on a share of the payments."""
