"""Accounts and transfers with TigerBeetle's names and semantics."""
