"""``llmosctl``: what a person asks of the running machine, and what it says of itself."""
