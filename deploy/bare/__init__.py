"""Private RabbitMQ and PostgreSQL nodes on a bare Debian: started from the packages' own programs, stopped by pid.

Used by `make fleet` and by `tests.rig`. Never touches the system's own servers: every node has its own ports, data
folder and name. What does not belong here: anything that knows a service.
"""
