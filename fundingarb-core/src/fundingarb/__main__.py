"""``python -m fundingarb``."""

from fundingarb.cli import main

if __name__ == "__main__":
    main()
