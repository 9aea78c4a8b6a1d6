"""Our side: what the books expect of each channel account and day, as rows that are written once and kept."""

from hutong.reconciliation.expected.export import export_sides
from hutong.reconciliation.expected.known import known_states, write_known
from hutong.reconciliation.expected.windows import WindowSetting, read_windows, set_window, window_of

__all__ = ["WindowSetting", "export_sides", "known_states", "read_windows", "set_window", "window_of", "write_known"]
