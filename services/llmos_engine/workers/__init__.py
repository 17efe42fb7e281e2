"""A process for each model: what a model does to its process, it does to nothing else.

    wire.py     what the two sides say to each other
    serving.py  the model's side: loads it, answers with it, says what was made
    handle.py   the front's side: what a worker works on, and what becomes of it when it ends
    zygote.py   a small process that workers are forked from

The front asks, and cancels; a worker says what it has made after each batch, in one message. It
ends when the front closes the connection.
"""
