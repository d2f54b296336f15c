"""How nano is made: from openly licensed drawings to weights, figures and picture sets."""
