"""`hutong ledger …`."""
