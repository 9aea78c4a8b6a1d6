"""Accounting on top of the transfer engine: chart of accounts, postings, day cut, statements, standing orders."""
