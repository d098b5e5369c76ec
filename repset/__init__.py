"""Exercise images and video into datasets that can be trusted, and into models trained from them."""

__version__ = "0.1.0"
