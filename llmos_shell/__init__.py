"""The login session of LLMOS: a shell that takes requests as well as commands."""
