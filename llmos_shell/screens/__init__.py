"""The screens of the session, each beside its style sheet."""
