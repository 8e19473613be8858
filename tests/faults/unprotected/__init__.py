"""What the fault runs start without the protections, to see that they notice the loss.

The product has no switch for it: `unprotect` puts substitutes in the place of methods of the chassis, in this process.
"""
