"""What keeps a project in order: what it holds, what is wrong with it, what can go."""
