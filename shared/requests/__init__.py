"""What people ask for: intake, and one file per right."""
