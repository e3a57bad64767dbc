"""``python -m skfhe`` is the command ``skfhe``."""

from skfhe._cli import main

if __name__ == "__main__":
    main()
