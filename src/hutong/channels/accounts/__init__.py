"""Accounts at channels: credentials, adapters ready to use, diagnostics."""
