"""How values are shown wherever they are shown: escaped text, rounded figures, JSON."""
