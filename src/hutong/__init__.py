"""Hutong: an open-source payment platform.

Import the modules you need: `from hutong import ledger, payments`. Each module's public face is what its
`__init__.py` names in `__all__`; everything else may change without notice.
"""

__version__ = "0.1.0"
