"""How many bits a network needs: a search in the clear for the cheapest that stays near it."""

from skfhe.importers._search.front import Quantization, Tried
from skfhe.importers._search.search import search
from skfhe.importers._search.settings import Options, Setting, Space

__all__ = ["Options", "Quantization", "Setting", "Space", "Tried", "search"]
