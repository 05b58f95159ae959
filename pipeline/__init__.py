"""pitpulse: where, when and how much an open-pit mine was active, from Sentinel-1 coherence."""

__version__ = "0.1.0"
