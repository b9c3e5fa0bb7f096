"""`python -m tst_fast`: the command `tst-fast`."""

from tst_fast.cli import main

if __name__ == "__main__":
    main()
