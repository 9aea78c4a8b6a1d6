"""Hutong: an open-source payment platform.

Import the packages you need: `from hutong import ledger, payments`. The face of a package is the `__all__` of its
`__init__.py`; everything else may change without notice.
"""

__version__ = "0.1.0"
