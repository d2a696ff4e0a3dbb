"""Starts the node."""

from kerbnode import app

if __name__ == "__main__":
    app.main()
