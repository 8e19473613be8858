"""Pure rules of licensing: key format, catalogue values, what fits a device, from where licenses are drawn.

Standard library only. No clock, no rows, no calls; how license files look belongs to `services.licensing.files`.
"""
