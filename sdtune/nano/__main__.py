"""`python -m sdtune.nano`: the steps that make nano, see `sdtune.nano.making.commands`."""

from sdtune.nano.making.commands import main

if __name__ == "__main__":
    main()
