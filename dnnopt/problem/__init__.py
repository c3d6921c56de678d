"""What is asked and what is answered: networks, platforms, objectives, constraints, plans; by name or from JSON."""
