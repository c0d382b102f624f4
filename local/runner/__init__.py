"""Runs the Functions app without the Functions host: timers by NCRONTAB, Service Bus queue triggers from a broker.

It calls the very functions that the platform calls, with message objects that Microsoft's own converters build, and
settles as the platform does: success completes, an exception abandons at once. What it does not run it refuses at the
start, so that nothing is silently dead. It is for a developer's machine and for tests, not for production.
"""
