"""`python -m repset` is the console script."""

from repset.cli import main

if __name__ == "__main__":
    main()
