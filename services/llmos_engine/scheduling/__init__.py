"""Who computes next: a state machine without a clock, a model or a thread of its own.

    request.py    what is asked of a model, and how far it has come
    ranking.py    which of two requests comes first: class, ageing, arrival
    pace.py       how much of a prompt fits into a step, by what steps have cost
    scheduler.py  the machine: places requests in slots, plans steps, takes their results

A back end asks for a placement, carries it out, asks for a step, computes it, and reports.
"""
