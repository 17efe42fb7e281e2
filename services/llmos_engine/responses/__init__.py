"""OpenAI's responses: the chat in another shape, which the engine remembers for a while.

intake.py    from items to a chat
wording.py   from an answer to items, whole or as events
memory.py    the conversations that a next request may go on with
"""
