"""The two slots of the system: what is in them, what could be, and which one starts next."""
