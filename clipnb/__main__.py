"""`python -m clipnb` is the same as the command `clipnb`."""

from clipnb.cli import main

if __name__ == "__main__":
    main()
