"""Layouts of bills as data: how files of one kind are read, so that a new one needs no program.

Promises: a file counts whole or not at all; amounts are exact; one bad row is one exception, and its money is counted.
"""

from hutong.reconciliation.layouts.model import Layout
from hutong.reconciliation.layouts.normalise import normalise
from hutong.reconciliation.layouts.store import add_folder, list_layouts, load
from hutong.reconciliation.normalised import Normalised

__all__ = ["Layout", "Normalised", "add_folder", "list_layouts", "load", "normalise"]
