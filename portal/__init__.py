"""The web portal: a client of the gateway like any other.

Until its pages are there it serves what nobody else can: the plain pages behind the links in mails.
"""
