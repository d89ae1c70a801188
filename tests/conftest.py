"""What holds for all tests."""

import signal

# A shell's background jobs ignore Ctrl-C and hand that on to the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
