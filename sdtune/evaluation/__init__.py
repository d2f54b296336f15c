"""How good each checkpoint of a run is: scores with intervals, the best one, and their record."""
