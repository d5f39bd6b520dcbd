"""The cell space of METANAS: two cells are searched, and stand in the network again and again."""

from metanas.spaces.cells.architecture import CELL_OPERATIONS, Cell, CellsArchitecture, Edge
from metanas.spaces.cells.space import CellsSpace

__all__ = ["CELL_OPERATIONS", "Cell", "CellsArchitecture", "CellsSpace", "Edge"]
