"""What stands in for Azure on a machine: local servers, a runner for the functions, and the demo."""
