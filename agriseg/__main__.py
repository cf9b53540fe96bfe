"""`python -m agriseg` is `agriseg`."""

from agriseg.cli import main

if __name__ == "__main__":
    main()
