"""Textual's terminal driver without the questions that old terminals print as rubbish."""

from textual.drivers.linux_driver import LinuxDriver


class SoberDriver(LinuxDriver):
    """For the Linux console and serial lines.

    They know nothing of synchronised output and size reports, and some show the queries.
    Textual has no switch for these two.
    """

    def start_application_mode(self) -> None:
        """Begin, with the terminal's own cursor to be seen.

        Textual draws one and hides the real one, which braille displays and screen readers
        of the console follow; it is moved to the prompt with every picture.
        """
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.write("\x1b[?25h")
        self.flush()

    def _request_terminal_sync_mode_support(self) -> None:
        """Ask nothing."""

    def _query_in_band_window_resize(self) -> None:
        """Ask nothing."""

    def _enable_bracketed_paste(self) -> None:
        """Switch nothing on that is not there."""

    def _disable_bracketed_paste(self) -> None:
        """Nor off."""
