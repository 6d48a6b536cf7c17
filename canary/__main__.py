"""`python -m canary`, for where the script is not on the path."""

from canary.cli import main

if __name__ == "__main__":
    main()
