"""Backups of the embedded server: base backups and the archived log in a folder, recovery to a point in time.

Promises: a backup is made while payments continue; only one that was read whole is restored; a restore deletes nothing
and is recorded in `restored.json` in the data folder. The secret key is never in a backup, only a mark of it.
"""

from hutong.backup.archiving import read_archiving
from hutong.backup.create import create_backup
from hutong.backup.model import Backup, list_backups
from hutong.backup.restore import restore_backup
from hutong.backup.verify import Verified, verify_backups
from hutong.backup.wal import show_lsn

__all__ = [
    "Backup",
    "Verified",
    "create_backup",
    "list_backups",
    "read_archiving",
    "restore_backup",
    "show_lsn",
    "verify_backups",
]
