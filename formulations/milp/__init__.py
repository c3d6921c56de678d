"""Mixed-integer linear formulations: placement x communication x timing."""
