"""`python -m kerbline` is `kerbline`."""

from kerbline.cli import main

if __name__ == "__main__":
    main()
