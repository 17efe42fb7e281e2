"""The models of this machine: what their files say, and the store that keeps them."""
