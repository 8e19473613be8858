"""Pure rules of devices: spellings of hardware ids, what adding a device needs, warranty dates.

No storage, clock, network or other rooms here; whoever calls passes in what the rules need to know.
"""
