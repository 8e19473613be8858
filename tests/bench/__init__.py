"""Yardsticks and what is measured against them; `make bench` runs all of it.

Absolute figures mean nothing on a shared machine, so each figure of ours stands beside a yardstick of the same shape
that runs in the same minutes, and what counts is the ratio of the medians.
"""
