"""What graphics and AI processors a machine has, and what the engine shall use of them.

    pci → table → choice → steering
     ▲              ▲
   sysfs        available, failures

Everything up to the choice is a function of what was read, so that a recorded machine is as
good as a real one.
"""
