"""The ``fundingarb`` console script."""
