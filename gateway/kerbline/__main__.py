"""`python -m kerbline` is `kerbline`."""

import signal

if __name__ == "__main__":
    # Until our own handlers stand, Ctrl-C ends us without a word of Python's.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from kerbline.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
