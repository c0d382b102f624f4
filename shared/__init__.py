"""The domain: what is kept, how long, how it goes, and how that is proved."""
