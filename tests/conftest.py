"""What holds for every test."""

import signal

# A background job of a shell starts with SIGINT ignored, and so would all that the tests start:
# then nothing that is tested for it could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
