"""The help texts: what to type, and which keys do what."""

from typing import Final

BANNER: Final = """\
Type what you want in plain words, or type a command. Nothing runs unasked.
  how much free disk space is there     a request: you see the command first
  ls -l                                 a command: runs as it is
  !find . -name notes                   ! makes any line a command, ? a request
F1 help   F10 leave"""

HELP: Final = """\
Lines
  in plain words    the model proposes a command: you see what it does
  a command         runs as in bash: folder, variables, functions live on
  !line             always a command
  !!line            a command that gets the whole terminal, as editors do
  ?line             always a request
  exit              leave (also F10, and Ctrl-D on an empty line)

At a plan
  Enter             run it, if it only reads
  y, Enter          run it, if it changes something or uses the network
  yes, Enter        run it, if it destroys data (y is not enough)
  e                 edit the command first
  Esc, Ctrl-C       do not run it

While a command runs
  Ctrl-C            stop it; three times: kill it
  a line, Enter     goes to the command; passwords are not shown
  Ctrl-D            end of input

Keys
  Up, Down          earlier lines       Tab       complete a file or program
  PgUp, PgDn        scroll              Ctrl-L    empty the screen
  F1                this help           F10       leave

"not understood" means that no rule covers a command: read it, then decide.

Esc closes this help."""
