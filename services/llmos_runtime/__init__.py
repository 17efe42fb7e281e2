"""The AI runtime: what hardware there is, and who may use it."""
