"""`lorp up`: the servers and workers of an installation on one machine, for as long as the command runs."""
