"""Meanings of channels' codes: shipped maps, versions in the database, unmapped codes, coverage."""

from hutong.channels.codes.codes import CodeEntry, Meaning, load_codes
from hutong.channels.codes.coverage import coverage
from hutong.channels.codes.store import (
    CHANGE,
    CodeVersion,
    change_code,
    code_history,
    current_codes,
    load_shipped,
    propose_code,
)
from hutong.channels.codes.unmapped import UnmappedCodes, open_unmapped

__all__ = [
    "CHANGE",
    "CodeEntry",
    "CodeVersion",
    "Meaning",
    "UnmappedCodes",
    "change_code",
    "code_history",
    "coverage",
    "current_codes",
    "load_codes",
    "load_shipped",
    "open_unmapped",
    "propose_code",
]
