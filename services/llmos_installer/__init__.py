"""``llmos-install``: puts the running, verified system from its stick onto a disk."""
