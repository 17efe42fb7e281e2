"""Textual's terminal driver without the questions that old terminals print as rubbish."""

from textual.drivers.linux_driver import LinuxDriver


class SoberDriver(LinuxDriver):
    """For the Linux console and serial lines; Textual has no switch for what is left out here."""

    def _request_terminal_sync_mode_support(self) -> None:
        """Ask nothing."""

    def _query_in_band_window_resize(self) -> None:
        """Ask nothing."""

    def _enable_bracketed_paste(self) -> None:
        """Switch nothing on that is not there."""

    def _disable_bracketed_paste(self) -> None:
        """Nor off."""
