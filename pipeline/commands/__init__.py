"""What each subcommand does, with the printing passed in."""
