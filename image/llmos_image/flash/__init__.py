"""Writing an image to a disk, and never to the wrong one.

``disks`` and ``uses`` say what disks there are and what they are used for, ``refusal`` which of
them may not be written, ``source`` and ``proof`` what the image is, ``device`` and ``writer``
put it there; ``command`` is the person's side of it.
"""
